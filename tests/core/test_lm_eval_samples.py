"""Sample logs of lm-eval, in the layout that version 0.4.13 writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.answer_files import read_answers
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.lm_eval_options import SampleOptions
from sixtyfold.core.lm_eval_samples import is_sample_log, read_samples
from sixtyfold.stages.compare.run import run
from sixtyfold.stages.compare.spec import CompareSpec

NAME = "samples_{}_2026-01-02T03-04-05.678901.jsonl"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def generated(number: int, hit: bool, **changes: Any) -> dict[str, Any]:
    """A sample of a generate_until task with exact_match."""
    doc = {"question": f"q{number}", "answer": f"a{number}", "topic": "xy"[number % 2]}
    prompt = f"Question: q{number}\nAnswer:"
    said = f" a{number}" if hit else " none"
    return {
        "doc_id": number,
        "doc": doc,
        "target": f"a{number}",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"]}}},
        "resps": [[said]],
        "filtered_resps": [said],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": digest(json.dumps(doc, indent=2)),
        "prompt_hash": digest(prompt),
        "target_hash": digest(f"a{number}"),
        "exact_match": float(hit),
        **changes,
    }


def chosen(number: int, likely: tuple[float, ...], gold: int) -> dict[str, Any]:
    """A sample of a multiple_choice task with acc and acc_norm."""
    doc = {"question": f"q{number}", "choices": ["red", "green"], "gold": gold}
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(gold),
        "arguments": {
            f"gen_args_{i}": {"arg_0": f"q{number}", "arg_1": f" {choice}"}
            for i, choice in enumerate(doc["choices"])
        },
        "resps": [[[str(each), "False"]] for each in likely],
        "filtered_resps": [[str(each), "False"] for each in likely],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": digest(json.dumps(doc, indent=2)),
        "prompt_hash": digest(f"q{number}"),
        "target_hash": digest(str(gold)),
        "acc": float(max(range(2), key=lambda i: likely[i]) == gold),
        "acc_norm": 0.0,
    }


def log(folder: Path, task: str, samples: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / NAME.format(task)
    path.write_text("".join(json.dumps(each) + "\n" for each in samples), encoding="utf-8")
    return path


def hits(text: str) -> list[dict[str, Any]]:
    return [generated(number, each == "1") for number, each in enumerate(text)]


def test_generated_answers(tmp_path: Path) -> None:
    path = log(tmp_path / "b", "my_task", hits("101"))
    assert is_sample_log(path)
    read = read_answers(path)
    assert read.table.sort("prompt").select(
        "relation", "domain", "split", "level", "prompt", "answer", "hit", "exact", "ended"
    ).rows() == [
        ("my_task", "in", "test", None, f"Question: q{i}\nAnswer:", said, hit, hit, None)
        for i, (said, hit) in enumerate([(" a0", True), (" none", False), (" a2", True)])
    ]
    assert read.asked is not None
    assert set(read.asked["rule"]) == {"lm-eval exact_match (none)"}


def test_chosen_answers(tmp_path: Path) -> None:
    path = log(tmp_path / "b", "colours", [chosen(0, (-1.5, -0.5), 1), chosen(1, (-1, -2), 1)])
    table = read_samples(path, SampleOptions()).table.sort("prompt")
    assert table.select("answer", "hit", "exact").rows() == [
        ("green", True, None), ("red", False, None),
    ]  # fmt: skip
    normed = read_samples(path, SampleOptions(metric="acc_norm")).table
    assert normed["hit"].to_list() == [False, False]
    assert normed["answer"].to_list() == ["", ""]  # the log does not say which choice that was


def test_a_continuation_that_was_not_said_is_not_shown(tmp_path: Path) -> None:
    one = {"arguments": {"gen_args_0": {"arg_0": "q", "arg_1": " word"}}, "metrics": ["acc"]}
    samples = [
        generated(number, True, filtered_resps=[["-1.0", str(greedy)]], acc=greedy, **one)
        for number, greedy in enumerate((True, False))
    ]
    table = read_samples(log(tmp_path / "b", "lambada", samples), SampleOptions()).table
    assert set(table.select("answer", "hit").rows()) == {("word", True), ("", False)}


def test_comparison_of_two_logs(tmp_path: Path) -> None:
    before = log(tmp_path / "b", "t", hits("1100" * 6))
    after = log(tmp_path / "a", "t", hits("1010" * 6))
    done = run(CompareSpec(before=before, after=after, out=tmp_path / "c"))
    inside = done.json("comparison")["domains"]["in"]
    assert inside["transitions"] == {"kept": 6, "lost": 6, "gained": 6, "never": 6}
    assert inside["micro"]["p"] == 1
    assert inside["new_relations"] is None
    assert set(done.manifest["rules"].values()) == {"lm-eval exact_match (none)"}


def test_a_field_as_relation(tmp_path: Path) -> None:
    before, after = log(tmp_path / "b", "t", hits("1100")), log(tmp_path / "a", "t", hits("1111"))
    spec = CompareSpec(before=before, after=after, out=tmp_path / "c", relation_field="topic")
    relations = run(spec).json("comparison")["by_relation"]
    assert [(row["relation"], row["gained"], row["n"]) for row in relations] == [
        ("x", 1, 2), ("y", 1, 2),
    ]  # fmt: skip
    with pytest.raises(BadInput, match="no such field; did you mean 'topic'"):
        read_samples(before, SampleOptions(relation_field="topc"))


def test_directories_hold_one_log_a_task(tmp_path: Path) -> None:
    for folder, one, two in (("b", "10", "00"), ("a", "11", "01")):
        log(tmp_path / folder, "t_1", hits(one))
        log(tmp_path / folder, "t_2", hits(two))
    done = run(CompareSpec(before=tmp_path / "b", after=tmp_path / "a", out=tmp_path / "c"))
    found = done.json("comparison")
    assert [row["relation"] for row in found["by_relation"]] == ["t_1", "t_2"]
    assert found["domains"]["in"]["new_relations"]["value"] == 0.5
    (tmp_path / "b" / "samples_t_1_2025-01-01T00-00-00.jsonl").write_text("{}\n")
    with pytest.raises(BadInput, match="two logs of task 't_1'"):
        read_answers(tmp_path / "b")


def test_documents_of_one_log_only_are_counted(tmp_path: Path) -> None:
    before, after = log(tmp_path / "b", "t", hits("110")), log(tmp_path / "a", "t", hits("10"))
    done = run(CompareSpec(before=before, after=after, out=tmp_path / "c"))
    assert done.manifest["rows"] == {"transitions": 2}
    assert (done.manifest["only_before"], done.manifest["only_after"]) == (1, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_hash": "0"}, "document t#1 has another content in the second log .1 of 3 have"),
        ({"target_hash": "0"}, "document t#1 has another right answer"),
        (
            {"arguments": {"gen_args_0": {"arg_0": "Q: q1", "arg_1": {"until": ["\n"]}}}},
            "document t#1 has another prompt or generation setting .* --other-prompts",
        ),
        (
            {"arguments": {"gen_args_0": {"arg_0": "Question: q1\nAnswer:", "arg_1": {}}}},
            "document t#1 has another prompt or generation setting",
        ),
    ],
)
def test_logs_that_asked_something_else_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    before = log(tmp_path / "b", "t", hits("111"))
    samples = hits("111")
    samples[1] |= changes
    spec = CompareSpec(before=before, after=log(tmp_path / "a", "t", samples), out=tmp_path / "c")
    with pytest.raises(BadInput, match=message):
        run(spec)
    assert not spec.out.exists()


def test_other_prompts_can_be_allowed(tmp_path: Path) -> None:
    before, samples = log(tmp_path / "b", "t", hits("110")), hits("011")
    for sample in samples:
        sample["arguments"]["gen_args_0"]["arg_0"] = "worked examples"
    after = log(tmp_path / "a", "t", samples)
    spec = CompareSpec(before=before, after=after, out=tmp_path / "c", other_prompts=True)
    assert run(spec).table("transitions").height == 3


def test_other_tasks_and_metrics_are_refused(tmp_path: Path) -> None:
    before, after = log(tmp_path / "b", "t", hits("11")), log(tmp_path / "a", "u", hits("11"))
    with pytest.raises(BadInput, match=r"share no document .* task 't', the second with 'u'"):
        run(CompareSpec(before=before, after=after, out=tmp_path / "c"))
    other = log(
        tmp_path / "o", "t", [generated(i, True, metrics=["acc"], acc=1.0) for i in range(2)]
    )
    with pytest.raises(BadInput, match="another metric or filter"):
        run(CompareSpec(before=before, after=other, out=tmp_path / "c"))


def test_one_filter_is_read(tmp_path: Path) -> None:
    both = hits("10") + [{**each, "filter": "flexible", "exact_match": 1.0} for each in hits("10")]
    path = log(tmp_path / "b", "t", both)
    with pytest.raises(
        BadInput, match=r"2 filters .flexible, none.; name one with --answer-filter"
    ):
        read_samples(path, SampleOptions())
    with pytest.raises(BadInput, match="did you mean 'flexible'"):
        read_samples(path, SampleOptions(answer_filter="flexibel"))
    assert read_samples(path, SampleOptions(answer_filter="flexible")).table["hit"].all()
    assert read_samples(path, SampleOptions(answer_filter="none")).table["hit"].sum() == 1


def test_which_metric_counts(tmp_path: Path) -> None:
    shares = [generated(i, True, metrics=["f1", "em"], f1=0.3, em=i % 2) for i in range(4)]
    path = log(tmp_path / "b", "t", shares)
    assert read_samples(path, SampleOptions()).table["hit"].sum() == 2  # em: the only yes or no
    with pytest.raises(BadInput, match=r"metric 'f1' of document 0 .* is 0.3"):
        read_samples(path, SampleOptions(metric="f1"))
    with pytest.raises(BadInput, match=r"--metric accc is not in .*; there: f1, em"):
        read_samples(path, SampleOptions(metric="accc"))
    none = log(tmp_path / "n", "t", [generated(0, True, metrics=["f1"], f1=0.3)])
    with pytest.raises(BadInput, match="metrics f1: none that is 0 or 1; name one with --metric"):
        read_samples(none, SampleOptions())
    several = log(tmp_path / "s", "t", [generated(0, True, metrics=["a", "b"], a=1, b=0)])
    with pytest.raises(BadInput, match=r"several that are 0 or 1 .a, b."):
        read_samples(several, SampleOptions())


def test_documents_that_are_facts_keep_their_key(tmp_path: Path) -> None:
    doc = {"fact_id": "f7", "relation": "capital", "domain": "out", "split": "dev", "prompt": "p"}
    scores = {"metrics": ["hit", "hit_out", "exact", "f1"], "hit": 1.0, "exact": 0.0, "f1": 0.4}
    sample = {**generated(0, True, doc=doc), **scores, "hit_out": 1.0}
    read = read_samples(log(tmp_path / "b", "t", [sample]), SampleOptions())
    assert read.table.select(
        "fact_id", "relation", "domain", "split", "hit", "exact"
    ).rows() == [("f7", "capital", "out", "dev", True, False)]  # fmt: skip
    assert read.asked["question"].to_list() == ["f7"]
    few = {**sample, "doc": {**doc, "prompt": "worked examples"}, "doc_hash": "other"}
    spec = CompareSpec(
        before=log(tmp_path / "b", "t", [sample]),
        after=log(tmp_path / "f", "t", [few]),
        out=tmp_path / "c",
    )
    assert run(spec).table("transitions")["state"].to_list() == ["kept"]


def test_damaged_logs(tmp_path: Path) -> None:
    path = log(tmp_path / "b", "t", hits("1"))
    path.write_text(path.read_text() + '{"doc_id": 1,\n')
    with pytest.raises(Corrupted, match="line 2 is no JSON"):
        read_answers(path)
    short = generated(0, True)
    del short["doc_hash"]
    with pytest.raises(Corrupted, match="line 1 is no sample of lm-eval: doc_hash missing"):
        read_answers(log(tmp_path / "s", "t", [short]))
    with pytest.raises(Corrupted, match="line 1 is no sample"):
        read_samples(_text(tmp_path / "list.jsonl", "[1]\n"), SampleOptions())
    for metrics in (None, 5, [], [1]):
        other = log(tmp_path / "m", "t", [generated(0, True, metrics=metrics)])
        with pytest.raises(Corrupted, match=r"line 1 .*: names of metrics missing"):
            read_answers(other)
    for change in ({"arguments": 3}, {"arguments": [3]}, {"filtered_resps": [[]]}):
        scored = {"metrics": ["acc"], "acc": 1.0, **change}
        with pytest.raises(Corrupted, match="document 0 are not laid out as lm-eval"):
            read_answers(log(tmp_path / "o", "t", [generated(0, True, **scored)]))
    with pytest.raises(BadInput, match="holds no sample"):
        read_samples(_text(tmp_path / "empty.jsonl", ""), SampleOptions())


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
