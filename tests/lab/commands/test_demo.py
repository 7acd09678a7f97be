import signal

from scenescope.lab import demo
from scenescope.training.loop import TrainingResult


def test_an_empty_output_is_not_the_current_folder(scenescope, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = scenescope("demo", "--output", "")
    assert (result.exit_code, result.errors.count("\n")) == (2, 1)
    assert "--output is empty; give a folder, or . for the current one" in result.errors
    assert list(tmp_path.iterdir()) == []


def test_without_an_output_there_is_a_default(scenescope, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = scenescope("demo", "--device", "nonsense")
    assert (result.exit_code, result.errors.count("\n")) == (2, 1)
    assert "no device 'nonsense'" in result.errors


def test_the_exit_code_tells_the_signal(scenescope, tmp_path, monkeypatch):
    monkeypatch.setattr(
        demo, "run_training", lambda *arguments, **options: TrainingResult(step=1, signal=signal.SIGTERM)
    )
    assert scenescope("demo", "--output", str(tmp_path / "demo")).exit_code == 143
