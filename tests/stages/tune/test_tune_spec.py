from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.tune.arguments import check_packages, trackers, trainer_arguments
from sixtyfold.stages.tune.processes import Processes, examples_at_once, join_processes
from sixtyfold.stages.tune.run import planned_rows
from sixtyfold.stages.tune.spec import Recipe, TuneSpec


def spec(**options: Any) -> TuneSpec:
    return TuneSpec.parse({"selection": "s", "out": "o", **options})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Recipe(1e-4, 8, 1, None)),
        ({"preset": "ye2025"}, Recipe(1e-5, 8, 1, None)),
        ({"preset": "ye2025", "learning_rate": 3e-5, "epochs": 2}, Recipe(3e-5, 8, 2, None)),
        ({"max_steps": 30}, Recipe(1e-4, 8, None, 30)),
        ({"learning_rate": None, "batch": None}, Recipe(1e-4, 8, 1, None)),
    ],
)
def test_a_preset_fills_what_is_not_given(options: dict[str, Any], expected: Recipe) -> None:
    assert spec(**options).recipe == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 5, "epochs": 2}, "--max-steps 5 and --epochs 2 were both given"),
        ({"batch": 8, "accumulate": 3}, "--batch 8 cannot be run in 3 equal parts"),
        ({"keep_adapter": True}, "--keep-adapter is for a LoRA; give --lora-rank"),
        ({"load_in_4bit": True}, "--load-in-4bit is for a LoRA; give --lora-rank"),
        ({"preset": "ye2024"}, "option 'preset' was given 'ye2024'"),
        ({"learning_rate": 0}, "option 'learning_rate' was given 0"),
        ({"learning_rat": 1}, "unknown option 'learning_rat'.*did you mean 'learning_rate'"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        spec(**options)


@pytest.mark.parametrize(
    ("options", "steps", "rows"),
    [
        ({}, 8, 60),  # seven batches of 8 and one of 4
        ({"epochs": 3}, 24, 180),
        ({"max_steps": 8}, 8, 60),
        ({"max_steps": 9}, 9, 68),
        ({"max_steps": 3}, 3, 24),
        ({"batch": 60}, 1, 60),
    ],
)
def test_steps_and_rows_of_sixty_examples(options: dict[str, Any], steps: int, rows: int) -> None:
    assert spec(**options).recipe.steps(60) == steps
    assert planned_rows(60, spec(**options)) == rows


def test_a_batch_is_shared_evenly_or_not_at_all() -> None:
    assert examples_at_once(8, 2, 2) == 2
    assert examples_at_once(8, 1, 1) == 8
    with pytest.raises(BadInput, match="--batch 8 cannot be shared by 3 processes in 1 parts"):
        examples_at_once(8, 1, 3)


def test_how_often_states_are_kept_makes_no_other_result() -> None:
    assert spec(checkpoint_every=3, report_to="none").recorded() == spec().recorded()
    assert spec(accumulate=2).recorded() != spec().recorded()


def test_a_tracker_that_is_not_here_is_named() -> None:
    assert trackers("none") == []
    with pytest.raises(BadInput, match="--report-to neptun is not installed, or not known"):
        trackers("none,neptun")


def test_trackers_that_are_here_reach_the_trainer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from transformers import integrations

    monkeypatch.setattr(
        integrations, "get_available_reporting_integrations", lambda: ["trackio", "tensorboard"]
    )
    given = spec(report_to="trackio, tensorboard")
    arguments = trainer_arguments(given, "cpu", Processes(1, 0, False), tmp_path)
    assert arguments.report_to == ["trackio", "tensorboard"]
    quiet = trainer_arguments(spec(), "cpu", Processes(1, 0, False), tmp_path)
    assert quiet.report_to == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamw-8bit"}, "--optimizer adamw-8bit needs .*sixtyfold.quantized."),
        ({"load_in_4bit": True, "lora_rank": 4}, "--load-in-4bit needs .*sixtyfold.quantized."),
    ],
)
def test_eight_and_four_bit_name_their_extra(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_packages(spec(**options), "cpu")


def test_halves_are_not_trained_on_processors(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--dtype float16 trains on GPUs alone"):
        trainer_arguments(spec(dtype="float16"), "cpu", Processes(1, 0, False), tmp_path)


def test_weights_are_not_split_where_that_would_do_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(BadInput, match=r"use examples/ddp.yaml on processors"):
        join_processes("cpu")


def test_one_process_does_not_leave_gpus_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(BadInput, match="4 GPUs are there; use all with 'accelerate launch"):
        join_processes("cuda")
    with pytest.raises(BadInput, match="set CUDA_VISIBLE_DEVICES=2"):
        join_processes("cuda:2")
    assert join_processes("cpu") == Processes(1, 0, False)
