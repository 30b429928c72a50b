"""plugins, config and init, as a person runs them; listings on a terminal and piped."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from mcml.core import exits
from mcml.core.example import annotated
from mcml.core.settings import load
from mcml.providers.api.capability import ALL
from mcml.testing.cli import run


def test_plugins_list_piped(tmp_path: Path) -> None:
    result = run(["plugins", "list"], cwd=tmp_path)
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in rows[: len(ALL)]] == [capability.name for capability in ALL]
    cluster = next(row for row in rows if row[0] == "Cluster")
    assert cluster[4] == "impossible"
    assert "not yet" not in {cell for row in rows[: len(ALL)] for cell in row}
    assert ["local", "Cluster", "one machine has no Kubernetes API; models run as processes"] in rows


def test_plugins_list_on_a_terminal(tmp_path: Path) -> None:
    result = run(["plugins", "list"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"})
    assert result.out.splitlines()[0].split()[:5] == ["Capability", "aws", "azure", "gcp", "local"]


def test_plugins_list_json_fields_are_pinned(tmp_path: Path) -> None:
    value = json.loads(run(["plugins", "list", "-o", "json"], cwd=tmp_path).out)
    assert value["kind"] == "PluginList"
    by_name = {item["name"]: item for item in value["items"]}
    assert set(by_name) == {"aws", "azure", "gcp", "local"}
    assert set(by_name["local"]) == {"name", "summary", "extra", "capabilities"}
    assert by_name["aws"]["capabilities"]["ObjectStore"] == {"support": "full", "note": ""}
    assert by_name["azure"]["capabilities"]["Warehouse"]["support"] == "impossible"
    assert by_name["azure"]["capabilities"]["Warehouse"]["note"]


def test_the_example_is_valid_names_every_key_and_explains_it(tmp_path: Path) -> None:
    printed = run(["config", "example"], cwd=tmp_path).out
    assert printed == annotated()
    (tmp_path / "mcml.toml").write_text(printed)
    config = load(tmp_path, environ={})
    assert config.settings.models["fraud"].team == "risk"
    schema = json.loads(run(["config", "schema"], cwd=tmp_path).out)
    jsonschema.validate(tomllib.loads(printed), schema)
    for model in (schema, *schema["$defs"].values()):
        for key, about in model["properties"].items():
            assert re.search(rf"\b{key} = |\[([\w-]+\.)*{key}[].]", printed), key
            assert about.get("description") or "$ref" in about, f"{key} has no description"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"targts": {}}, schema)


def test_config_show_origin(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[profiles.prod.infra]\nenvironment = "prod"\n')
    result = run(["config", "show", "--origin", "--profile", "prod", "-o", "json"], cwd=tmp_path, env={"MCML_ROUTER__PORT": "9"})
    origins = {item["name"]: (item["value"], item["origin"]) for item in json.loads(result.out)["items"]}
    assert origins["name"] == ("acme", str(tmp_path / "mcml.toml"))
    assert origins["infra.environment"] == ("prod", f"{tmp_path / 'mcml.toml'}, profile prod")
    assert origins["router.port"] == (9, "MCML_ROUTER__PORT")
    assert origins["router.host"] == ("127.0.0.1", "default")


def test_config_never_shows_a_password(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('[store]\nurl = "postgresql+psycopg://me:hunter2@db/x"\n')
    for output in ("table", "json", "yaml"):
        result = run(["config", "show", "-o", output], cwd=tmp_path)
        assert "hunter2" not in result.out + result.err
        assert "[hidden]" in result.out


def test_init_by_flags_makes_a_project_that_loads(tmp_path: Path) -> None:
    flags = "--name acme-ml --model fraud --target eu-1:europe-west1 --price europe-west1=0.05/0.006 --port 9000"
    result = run(["init", "shop", *flags.split(), "-o", "json"], cwd=tmp_path)
    assert result.code == 0, result.err
    settings = load(tmp_path / "shop", environ={}).settings
    assert (settings.name, settings.router.port) == ("acme-ml", 9000)
    assert settings.models["fraud"].targets == ("eu-1",)
    assert settings.providers["local"]["prices"]["europe-west1"] == {"vcpu_hour": 0.05, "gib_hour": 0.006}


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    result = run(["init"], cwd=tmp_path, terminal=True, stdin="acme\n\nhome:here away:there\n")
    assert result.code == 0, result.out
    settings = load(tmp_path, environ={}).settings
    assert (settings.name, list(settings.models), list(settings.targets)) == ("acme", ["fraud"], ["home", "away"])


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--target", "eu-1"], exits.USAGE, "NAME:REGION is wanted"),
        (["--target", "a:x", "--target", "a:y"], exits.USAGE, "named twice"),
        (["--name", "Has Spaces"], exits.USAGE, "that makes no valid mcml.toml"),
        (["--price", "x"], exits.USAGE, "REGION=VCPU_HOUR/GIB_HOUR is wanted"),
    ],
)
def test_init_with_wrong_answers_writes_nothing(flags: list[str], code: int, said: str, tmp_path: Path) -> None:
    result = run(["init", *flags], cwd=tmp_path)
    assert result.code == code
    assert said in result.err
    assert list(tmp_path.iterdir()) == []


def test_init_does_not_replace_without_force(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "mine"\n')
    result = run(["init"], cwd=tmp_path)
    assert result.code == exits.FAILED
    assert "next: mcml init --force" in result.err
    assert (tmp_path / "mcml.toml").read_text() == 'name = "mine"\n'
    assert run(["init", "--force"], cwd=tmp_path).code == 0
