"""The files of a task of lm-eval (0.4.13), as text.

    NAME.yaml   what lm-eval loads: prompts from the documents, greedy, the scoring below
    utils.py    our matching, copied from this package's source, so that both sides judge alike;
                it needs the standard library alone (and `datasets`, which lm-eval brings)

`until` is empty: our answers end with their first line that is not blank, and a stop string would
end them at a blank line in front. lm-eval therefore runs to the end token or the last allowed one
and `utils.py` cuts the line out; what is judged is the same text.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence

from sixtyfold.core import matching
from sixtyfold.core.facts import normalise
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.workflows.export_spec import ExportLmEvalSpec

_IMPORT = "from sixtyfold.core.facts import normalise\n"
_DOCUMENTS = '''

def load(**_):
    """Return the questions as a data set of lm-eval."""
    import json
    from pathlib import Path

    from datasets import Dataset

    path = Path(__file__).with_name(FILE)
    with path.open(encoding="utf-8") as lines:
        return {SPLIT: Dataset.from_list([json.loads(line) for line in lines])}


def first_answer(doc):
    """Return the first accepted answer."""
    return doc["objects"][0]


def process_results(doc, results):
    """Judge one answer; `hit` also apart for each domain."""
    answer = cut_answer(results[0])
    hit = float(matcher(MATCH, doc["objects"], doc["subject"]).hit(answer))
    return {
        "hit": hit,
        f"hit_{doc['domain']}": hit,
        "exact": float(exact(answer, doc["objects"])),
        "f1": token_f1(answer, doc["objects"]),
    }
'''


def task_yaml(spec: ExportLmEvalSpec, domains: Sequence[str]) -> str:
    """Return the task's description.

    Args:
        spec: the export's options.
        domains: domains that the questions belong to; `hit` is also reported for each.
    """
    names = ("hit", *(f"hit_{domain}" for domain in domains), "exact", "f1")
    metrics = "".join(
        f"  - metric: {name}\n    aggregation: mean\n    higher_is_better: true\n" for name in names
    )
    return (
        f"# {command_line(spec)}\n"
        f"task: {spec.task}\n"
        "custom_dataset: !function utils.load\n"
        f"test_split: {spec.split}\n"
        "output_type: generate_until\n"
        "doc_to_text: prompt\n"
        "doc_to_target: !function utils.first_answer\n"
        "process_results: !function utils.process_results\n"
        "num_fewshot: 0\n"
        "generation_kwargs:\n"
        "  until: []\n"
        "  do_sample: false\n"
        f"  max_gen_toks: {spec.max_new_tokens}\n"
        "metric_list:\n"
        f"{metrics}"
        "metadata:\n"
        "  version: 1.0\n"
    )


def scoring_code(spec: ExportLmEvalSpec) -> str:
    """Return `utils.py`: this package's matching, and what lm-eval calls.

    Raises:
        RuntimeError: the source of the matching is not what this function knows how to copy.
    """
    source = inspect.getsource(matching)
    if source.count(_IMPORT) != 1 or source.count("sixtyfold") != 1:
        raise RuntimeError("core/matching.py imports more than the normal form; copy that as well")
    standard = "import unicodedata\n\n\n" + inspect.getsource(normalise)
    constants = (
        f"\n\nFILE = {spec.task + '.jsonl'!r}\nSPLIT = {spec.split!r}\nMATCH = {spec.match!r}\n"
    )
    return "".join(
        (
            source.replace(_IMPORT, standard).rstrip("\n"),
            "\n\n\n",
            inspect.getsource(cut_answer).rstrip("\n"),
            constants,
            _DOCUMENTS,
        )
    )


def command_line(spec: ExportLmEvalSpec) -> str:
    """Return the command that runs the task; the model is to be filled in."""
    model = "pretrained=MODEL,dtype=bfloat16"
    if spec.prompt_form == "chat":  # the template has spelled out what begins a prompt
        model += ",add_bos_token=False"
    return (
        f"lm_eval --model hf --model_args {model} --batch_size 64 --include_path DIRECTORY "
        f"--tasks {spec.task} --log_samples --output_path RESULTS"
    )


def readme(spec: ExportLmEvalSpec, questions: int) -> str:
    """Return what a person who finds the directory should know."""
    options = json.dumps(spec.recorded(), ensure_ascii=False, sort_keys=True)
    return f"""# {spec.task}: {questions} questions for lm-eval

```
{command_line(spec)}
```

MODEL is a local directory or a Hugging Face id, DIRECTORY this folder (lm-eval also finds it from
the folder above). Give no `--apply_chat_template`, `--num_fewshot` or `--system_instruction`: the
documents hold whole prompts, worked examples and chat template included.

- Measures: `hit` (matching mode `{spec.match}`; `hit_in` and `hit_out` by domain), `exact`, `f1`,
  means over questions, as in `sixtyfold evaluate` with the same options.
- Answers are greedy, at most {spec.max_new_tokens} tokens, cut to their first line that is not
  blank. `until` is empty on purpose: a stop at the first line break would lose answers behind a
  blank line.
- `utils.py` is a copy of sixtyfold's matching. It needs the standard library alone, and `datasets`,
  which comes with lm-eval; sixtyfold need not be installed.
- The same number format on both sides (`dtype=...` here, `--dtype` there). In bfloat16 two tokens
  may come out equally likely; which of them is taken can differ with the batch.

Written by `sixtyfold export lm-eval` with {options}
"""
