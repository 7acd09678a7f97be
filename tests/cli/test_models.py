"""scenescope models: a row for every network, with its own counts."""

import pytest
import torch
from typer.testing import CliRunner

from scenescope.backbones.build import count_parameters
from scenescope.cli.main import app
from scenescope.errors import ModelError, ScenescopeError
from scenescope.lab.published import as_markdown, as_page, published_table
from scenescope.models.catalog import MODELS, create_model


def test_every_network_has_its_row() -> None:
    arguments = ["models", "--backbone", "resnet18", "--num-classes", "7", "--size", "64,96", "--output-stride", "32"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split()[1] for line in result.output.splitlines() if line.split()[0] in MODELS}
    assert list(rows) == list(MODELS)
    for name, parameters in rows.items():
        with torch.device("meta"):
            network = create_model(name, backbone="resnet18", num_classes=7)
        assert int(parameters.replace(",", "")) == count_parameters(network)
    assert "81.5 Cityscapes test (R101, " in result.output
    assert "One image of 64 x 96, 7 classes, output stride 32." in result.output


@pytest.mark.parametrize("size", ["480", "480x480", "0,480", "a,b"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    refusal = CliRunner().invoke(app, ["models", "--size", size]).exception
    assert isinstance(refusal, ScenescopeError)
    assert "write height and width in pixels" in str(refusal)


def test_an_unknown_backbone_is_refused() -> None:
    assert isinstance(CliRunner().invoke(app, ["models", "--backbone", "resnet51"]).exception, ModelError)


def test_published_tables_are_printed_all_or_one() -> None:
    # As they are, however narrow the terminal: the output is written to files.
    printed = CliRunner().invoke(app, ["models", "--published"], env={"COLUMNS": "40"})
    assert printed.output == as_page()
    one = CliRunner().invoke(app, ["models", "--published", "danet-context"], env={"COLUMNS": "40"})
    assert one.output == as_markdown(published_table("danet-context"))


def test_a_table_that_is_none_or_that_lacks_its_option_is_refused() -> None:
    unknown = CliRunner().invoke(app, ["models", "--published", "danet-kontext"]).exception
    assert isinstance(unknown, ModelError)
    lacking = CliRunner().invoke(app, ["models", "danet-context"]).exception
    assert isinstance(lacking, ScenescopeError)
    assert "type scenescope models --published danet-context" in str(lacking)
