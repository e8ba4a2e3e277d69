# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First steps from Python
#
# What does a model know, which examples bring it out, and what did the tuning change? This notebook walks the main path step by step
# on a small *planted* model: one that was trained on made-up facts seen 0, 1, 4 or 12 times, so we know beforehand what it knows.
# It takes a few minutes on two cores. For a real model and real facts put `model = "embedded"` and `facts = "atlas"`, and leave out what
# is about times told.
#
# Open it with `jupytext --to ipynb examples/first_steps.py`, or run it as it is: `python examples/first_steps.py`.

# %%
import tempfile
from pathlib import Path

import altair as alt
import polars as pl

import sixtyfold as sf

work = Path(tempfile.mkdtemp())
alt.renderers.enable("svg")  # drawn here; no script is fetched

# %% [markdown]
# ## A model whose knowledge is known
# 100 subjects with three facts each; every quarter of the facts is told another number of times. The directory holds the model *and* its facts.

# %%
planted = sf.plant(subjects=100, exposures=(0, 1, 4, 12), passes=6, seed=0, out=work / "planted")
model = facts = str(planted.path)
planted.table("facts").select("relation", "subject", "objects", "question", "split").head(3)

# %% [markdown]
# ## What does it know?
# Every fact is asked through its cloze templates. `recall` is the probability that one continuation gives the answer; `level` follows from it.

# %%
probe = sf.probe(model=model, facts=facts, out=work / "probe")
recall = probe.table("probe").join(planted.table("exposures"), on="fact_id")
by_exposure = (
    recall.group_by("times_seen")
    .agg(facts=pl.len(), recall=pl.col("recall").mean(), level=pl.col("level").mean())
    .sort("times_seen")
)
by_exposure

# %% [markdown]
# Facts that were never told are guessed at best; the more often a fact was told, the better it is recalled:

# %%
alt.Chart(alt.Data(values=recall.select("times_seen", "recall").to_dicts())).mark_boxplot().encode(
    x=alt.X("times_seen:O", title="times told in one pass"),
    y=alt.Y("recall:Q", title="recall"),
)

# %% [markdown]
# ## Forty examples, chosen by level
# The receipt says what was chosen, and that no fact or question of dev or test is among it.

# %%
selection = sf.select(
    facts=facts, probe=work / "probe", size="40", levels="1,2,3,4", short="fill", out=work / "set"
)
selection.json("receipt")["per_level"]

# %% [markdown]
# ## Tune, and ask again
# A planted model has never read a question, so it needs more passes than a real one to take up the form.

# %%
sf.tune(
    model=model,
    selection=work / "set",
    learning_rate=5e-4,
    epochs=15,
    batch=4,
    out=work / "tuned",
)
tuned = str(work / "tuned")
for name, asked in {"before": model, "after": tuned}.items():
    sf.evaluate(model=asked, facts=facts, probe=work / "probe", out=work / name)
comparison = sf.compare(before=work / "before", after=work / "after", out=work / "compared")
transitions = comparison.table("transitions")
transitions.group_by("domain", "state").len().sort("domain", "state")

# %% [markdown]
# ## What moved, and what the best repair does
# `diff` measures the update beside its nulls; `search` tries families of repairs of equal strength on dev and asks test once.

# %%
diff = sf.diff(base=model, tuned=tuned, out=work / "diff")
diff.table("concentration").head()

# %%
search = sf.search(
    base=model,
    tuned=tuned,
    facts=facts,
    families=("relative", "interpolation", "random"),
    top=(5, 20, 60),
    halvings=0,
    out=work / "search",
)
search.table("test").select("arm", "domain", "accuracy", "low", "high", "n")

# %% [markdown]
# Read the intervals before the order: with so few test facts they overlap. [Restoring, explained](../docs/explained/restoring.md) says
# what a fair comparison of repairs needs.

# %%
assert by_exposure["recall"][-1] > by_exposure["recall"][0]
assert transitions.filter(state="gained").height > 0
