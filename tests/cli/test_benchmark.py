import pytest


def test_a_network_of_the_catalog_is_measured(scenescope):
    result = scenescope(
        "benchmark", "danet", "--backbone", "test_resnet", "--size", "32,64", "--size", "64,64", "--repeats", 1,
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.errors
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0] == ["image", "form", "s", "time", "MB"]
    assert [line[:3] for line in lines if line[3:5] == ["as", "it"]] == [["32", "x", "64"], ["64", "x", "64"]]
    assert sum("fused" in line for line in lines) == 2
    assert " ".join(lines[-1]).startswith("danet, backbone test_resnet, 19 classes, on cpu, ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name a network, such as danet, or a trained one with --model"),
        (["danet", "--model", "x/y"], "one of the two"),
        (["--model", "x/y", "--backbone", "resnet18"], "a model has its own"),
        (["danet", "--size", "512"], "--size '512' is not a size"),
        (["danet", "--size", "0,4"], "--size '0,4' is not a size"),
        (["danett"], "There is no network 'danett'. Did you mean"),
    ],
)
def test_mistakes_are_told_in_a_line(scenescope, arguments, told):
    result = scenescope("benchmark", *arguments)
    assert result.exit_code == 2
    assert told in result.errors
    assert len(result.errors.splitlines()) == 1
