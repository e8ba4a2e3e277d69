"""What tuning on a file may do to accuracy: fitted on studies, tested on what was left out.

cells     results of studies → one row per training set
effects   slopes, left-out errors, intervals
link      from what questions say of a file to the levels of the probe
fit       all of it → calibration.json, with the verdict
fitted    what stands in calibration.json
predict   a file → points above or below, or why no number is given
"""
