"""The configuration: six layers, the origin of every value, and an error that names file, line and the nearest key."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import NotFound, Usage
from mcml.core.example import annotated, render
from mcml.core.settings import Config, load

BASE = """
name = "acme-ml"
[targets.eu-1]
provider = "local"
region   = "eu"
[models.fraud]
source  = "models/fraud"
targets = ["eu-1"]
[routes.fraud]
timeout = 5
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(project: Path, toml: str) -> Path:
    (project / "mcml.toml").write_text(toml, encoding="utf-8")
    return project


def write_user(project: Path, toml: str) -> str:
    path = project.parent / "home" / "mcml" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(toml, encoding="utf-8")
    return str(path)


def read(project: Path, *, profile: str = "", flags: Mapping[str, object] | None = None, **environ: Any) -> Config:
    return load(project, profile=profile, flags=flags, environ=environ)


def why(project: Path, *, profile: str = "", **environ: Any) -> str:
    with pytest.raises(Usage) as wrong:
        read(project, profile=profile, **environ)
    assert wrong.value.next_step
    return wrong.value.why


# The layers


def test_defaults_alone(project: Path) -> None:
    config = read(write(project, ""))
    assert (config.settings.name, config.settings.router.port, config.origins) == ("mcml", 8080, {})
    assert (config.state, config.store_url) == (project / ".mcml", f"sqlite:///{project}/.mcml/mcml.db")


def test_each_layer_wins_over_the_one_before_and_says_where_it_was_set(project: Path) -> None:
    file = project / "mcml.toml"
    layers: list[tuple[str, str]] = []

    def check(**how: Any) -> None:
        config = read(project, **how)
        layers.append((config.settings.infra.environment, config.origins.get("infra.environment", "default")))

    write(project, "")
    check()
    user = write_user(project, '[infra]\nenvironment = "user"\n[profiles.prod.infra]\nenvironment = "user-profile"')
    check()
    write(project, '[infra]\nenvironment = "project"')
    check()
    check(profile="prod")
    write(project, '[infra]\nenvironment = "project"\n[profiles.prod.infra]\nenvironment = "profile"')
    check(MCML_PROFILE="prod")
    check(profile="prod", MCML_INFRA__ENVIRONMENT="variable")
    check(profile="prod", MCML_INFRA__ENVIRONMENT="variable", flags={"infra.environment": "flag"})
    assert layers == [
        ("dev", "default"),
        ("user", user),
        ("project", str(file)),
        ("user-profile", f"{user}, profile prod"),
        ("profile", f"{file}, profile prod"),
        ("variable", "MCML_INFRA__ENVIRONMENT"),
        ("flag", "flag"),
    ]


def test_layers_meet_key_by_key_and_lists_are_replaced(project: Path) -> None:
    write_user(project, '[targets.eu-1]\nprovider = "local"\nregion = "user"\n[models.fraud]\nsource = "m"\ntargets = ["eu-1"]')
    write(project, '[targets.eu-1]\nregion = "project"\n[targets.us-1]\nprovider = "local"\n[models.fraud]\ntargets = ["us-1"]')
    found = read(project).settings
    assert (found.targets["eu-1"].provider, found.targets["eu-1"].region) == ("local", "project")
    assert (found.models["fraud"].source, found.models["fraud"].targets) == ("m", ("us-1",))


def test_a_flag_of_the_profile_wins_over_the_variable(project: Path) -> None:
    write(project, '[profiles.a]\nname = "a"\n[profiles.b]\nname = "b"')
    config = read(project, profile="b", MCML_PROFILE="a")
    assert (config.settings.name, config.profile) == ("b", "b")
    assert read(project).profile == ""


def test_an_unknown_profile_is_not_found_with_the_nearest(project: Path) -> None:
    write(project, "[profiles.staging]\n[profiles.prod]")
    with pytest.raises(NotFound, match="no profile named 'stagin'") as wrong:
        read(project, profile="stagin")
    assert (wrong.value.why, wrong.value.next_step) == ("did you mean 'staging'?", "mcml config show")
    with pytest.raises(NotFound) as none:
        read(write(project, ""), MCML_PROFILE="prod")
    assert none.value.why == "no profile is defined"


@pytest.mark.parametrize("toml", ["profiles = 3", "profiles = ['prod']", "[profiles]\nprod = 'x'"])
def test_profiles_that_are_no_tables(project: Path, toml: str) -> None:
    assert why(write(project, toml)) == "a profile is a table: [profiles.NAME]"


def test_the_project_is_found_upwards_also_from_a_relative_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = write(project, BASE) / "a" / "b"
    deep.mkdir(parents=True)
    assert read(deep).project == project
    monkeypatch.chdir(deep)
    assert read(Path()).project == project
    assert read(Path("..")).project.resolve() == project


def test_without_a_project_the_next_step_is_init(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no mcml\.toml in .* or above") as none:
        read(tmp_path)
    assert (none.value.exit_code, none.value.next_step) == (5, "mcml init")


def test_a_container_user_without_a_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert read(write(project, BASE)).settings.name == "acme-ml"


def test_an_sqlite_file_begins_at_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    urls = {
        "sqlite:///state/journal.db": f"sqlite:///{project}/state/journal.db",
        "sqlite:////var/lib/mcml.db": "sqlite:////var/lib/mcml.db",
        "sqlite:///:memory:": "sqlite:///:memory:",
        "sqlite://": "sqlite://",
        "postgresql+psycopg://u@host/db": "postgresql+psycopg://u@host/db",
    }
    for url, expected in urls.items():
        assert read(write(project, f'[store]\nurl = "{url}"')).store_url == expected


# Variables


def test_variables_reach_every_depth_and_names_with_dashes(project: Path) -> None:
    config = read(
        write(project, BASE),
        MCML_NAME="other",
        MCML_TARGETS__EU_1__REGION="us east",
        MCML_TARGETS__GCP_EUW1__PROVIDER="local",
        MCML_MODELS__FRAUD__TARGETS='["gcp-euw1", "eu-1"]',
        MCML_ROUTES__FRAUD__PER_TRY_TIMEOUT="0.5",
        MCML_ROUTES__FRAUD__SCORE="{ latency = 1, cost = 0, reliability = 0 }",
        MCML_ROUTER__PORT="0",
        MCML_PROVIDERS__LOCAL__KEEP_OLD="true",
        MCML_STORE__URL="",
        HOME="/nowhere",
        MCML_PROFILE="",
        MCML_ACTOR="mira",
        MCML_DEBUG="1",
    )
    found = config.settings
    assert (found.name, found.targets["eu-1"].region, found.targets["gcp-euw1"].provider) == ("other", "us east", "local")
    assert found.models["fraud"].targets == ("gcp-euw1", "eu-1")
    assert (found.routes["fraud"].per_try_timeout, found.routes["fraud"].score.latency) == (0.5, Decimal(1))
    assert (found.router.port, found.providers) == (0, {"local": {"keep_old": True}})
    assert config.origins["targets.eu-1.region"] == "MCML_TARGETS__EU_1__REGION"
    assert config.origins["targets.eu-1.provider"] == str(project / "mcml.toml")


def test_text_of_several_lines_stays_text(project: Path) -> None:
    text = '"a"\nregion = "b"'
    assert read(write(project, BASE), MCML_MODELS__FRAUD__SOURCE=text).settings.models["fraud"].source == text


def test_an_unknown_variable_is_named(project: Path) -> None:
    write(project, BASE)
    assert why(project, MCML_ROUTR__PORT="1") == "MCML_ROUTR__PORT: unknown key 'routr' (did you mean 'router'?)"
    assert why(project, MCML_ROUTER__PROT="1") == "MCML_ROUTER__PROT: unknown key 'router.prot' (did you mean 'port'?)"
    assert why(project, MCML_ROUTER__PORT="http") == (
        "MCML_ROUTER__PORT: router.port: Input should be a valid integer"
    )
    assert why(project, MCML_ROUTER="x").startswith("MCML_ROUTER: router: Input should be a valid dictionary")
    assert why(project, MCML_="x").startswith("MCML_: unknown key ''")


def test_a_variable_that_replaces_a_table_takes_its_origins_away(project: Path) -> None:
    config = read(write(project, BASE + '[providers.local]\ntrees = { oak = 1 }'), flags={"providers.local.trees": "none"})
    assert config.settings.providers == {"local": {"trees": "none"}}
    assert {path: origin for path, origin in config.origins.items() if "trees" in path} == {"providers.local.trees": "flag"}


# What can be wrong, and how it is said

WRONG = {
    "nmae = 'x'": "1: unknown key 'nmae' (did you mean 'name'?)",
    "[targets.x]\nprovider = 'local'\nregoin = 'eu'": "3: unknown key 'targets.x.regoin' (did you mean 'region'?)",
    "[targets]\nx.provider = 'local'\nx.regoin = 'eu'": "3: unknown key 'targets.x.regoin' (did you mean 'region'?)",
    "targets.x = { provider = 'local', regoin = 'eu' }": "1: unknown key 'targets.x.regoin' (did you mean 'region'?)",
    "[target.x]\nprovider = 'local'": "1: unknown key 'target' (did you mean 'targets'?)",
    "[profile.x]": "1: unknown key 'profile' (did you mean 'profiles'?)",
    "[routes.r.score]\n\n# the shares\nlatencey = 1": "4: unknown key 'routes.r.score.latencey' (did you mean 'latency'?)",
    "[ store ]\n'ulr' = 'x'": "2: unknown key 'store.ulr' (did you mean 'url'?)",
    "[targets.x]": "1: targets.x.provider: Field required",
    "[targets.x]\nregion = 'eu'": "1: targets.x.provider: Field required",
    "name = 3": "1: name: Input should be a valid string",
    "name = 'Acme'": "1: name: a name is 1 to 63 of a-z, 0-9 and dashes, with no dash at its ends",
    "[targets.EU_1]\nprovider = 'local'": "1: targets.EU_1: a name is 1 to 63 of a-z, 0-9 and dashes, with no dash at its ends",
    "[router]\nport = 99999": "2: router.port: Input should be less than or equal to 65535",
    "[router]\nport = true": "2: router.port: Input should be a valid integer",
    "targets = 3": "1: targets: Input should be a valid dictionary",
    "[models.m]\nsource = 'm'\ntargets = 'a'": "3: models.m.targets: Input should be a list",
    "[[targets]]\nprovider = 'local'": "1: targets: Input should be a valid dictionary",
    "[models.m]\nsource = 'm'\ntargets = []": "3: models.m.targets: Tuple should have at least 1 item after validation, not 0",
    "[models.m]\nsource = 'm'\ntargets = ['a', 1]": "3: models.m.targets.1: Input should be a valid string",
    "[routes.r]\nscore = { latency = 0.5, cost = 0.3, reliability = 0.3 }": (
        "2: routes.r.score: latency, cost and reliability add up to 1.1, not to 1"
    ),
}


@pytest.mark.parametrize("toml", WRONG)
def test_the_error_names_the_file_the_line_the_key_and_the_cause(project: Path, toml: str) -> None:
    said = why(write(project, toml)).splitlines()
    assert any(line.startswith(f"{project}/mcml.toml:{WRONG[toml]}") for line in said), said


def test_all_mistakes_are_said_at_once(project: Path) -> None:
    said = why(write(project, "nmae = 'x'\n[router]\nport = 'x'\n[targets.x]"), MCML_STORE__ULR="x").splitlines()
    assert len(said) == 4


DANGLING = {
    "models.fraud.targets": (
        "[targets.eu-1]\nprovider = 'local'\n[models.fraud]\nsource = 'm'\ntargets = ['eu1']",
        5,
        "models.fraud.targets names the target 'eu1', which is not defined (did you mean 'eu-1'?)",
    ),
    "no targets": (
        "[models.fraud]\nsource = 'm'\ntargets = ['eu1']",
        3,
        "models.fraud.targets names the target 'eu1', which is not defined (there is no target)",
    ),
    "routes.fraud.model": (
        BASE + "[routes.public]\nmodel = 'fruad'",
        12,
        "routes.public.model names the model 'fruad', which is not defined (did you mean 'fraud'?)",
    ),
    "implied model": (
        BASE + "[routes.other]\ntimeout = 3",
        11,
        "routes.other.model names the model 'other', which is not defined (known: fraud)",
    ),
}


@pytest.mark.parametrize("case", DANGLING)
def test_names_must_exist(project: Path, case: str) -> None:
    toml, line, said = DANGLING[case]
    assert why(write(project, toml)) == f"{project}/mcml.toml:{line}: {said}"


def test_a_mistake_in_a_profile_is_found_where_it_stands(project: Path) -> None:
    write(project, BASE + "[profiles.prod.router]\nprot = 1")
    assert read(project).settings.name == "acme-ml"
    assert why(project, profile="prod") == f"{project}/mcml.toml:12: unknown key 'router.prot' (did you mean 'port'?)"


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        (b'name = "x"\n[targets\n', "(at line 2, column 9)"),
        (b"name = x", "(at line 1, column 8)"),
        (b"a = 1\na = 2\n", "(at line 2, column 6)"),
        (b'name = "\xff"', "invalid start byte"),
    ],
)
def test_a_file_that_is_no_toml(project: Path, toml: bytes, said: str) -> None:
    (project / "mcml.toml").write_bytes(toml)
    with pytest.raises(Usage, match=r"mcml\.toml is not valid TOML") as wrong:
        read(project)
    assert said in wrong.value.why


def test_a_file_that_cannot_be_read(project: Path) -> None:
    user = write_user(project, "")
    Path(user).unlink()
    Path(user).mkdir()
    with pytest.raises(Usage, match=f"cannot read {user}") as wrong:
        read(write(project, BASE))
    assert "Is a directory" in wrong.value.why


def test_a_file_is_utf8_whatever_the_locale(project: Path) -> None:
    import subprocess
    import sys

    write(project, '[models.m]\nsource = "modèle"\ntargets = ["t"]\n[targets.t]\nprovider = "local"')
    code = (
        "import sys; from pathlib import Path; from mcml.core.settings import load\n"
        "print(ascii(load(Path(sys.argv[1]), environ={}).settings.models['m'].source))"
    )
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "XDG_CONFIG_HOME": str(project)}
    ended = subprocess.run([sys.executable, "-c", code, project], capture_output=True, text=True, check=True, env=environ)
    assert ended.stdout == "'mod\\xe8le'\n"


def test_a_password_in_the_url_of_the_store_is_not_in_a_representation(project: Path) -> None:
    config = read(write(project, '[store]\nurl = "postgresql://u:sesame@host/db"'))
    assert "sesame" not in repr(config) + str(config.settings)


# Round trips

NAMES = st.text("abz09-", min_size=1, max_size=9).map(lambda text: text.strip("-") or "x")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SECONDS = st.floats(0.001, 3600)


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    latency = draw(st.integers(0, 100))
    cost = draw(st.integers(0, 100 - latency))
    return {"latency": latency / 100, "cost": cost / 100, "reliability": (100 - latency - cost) / 100}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    target = st.fixed_dictionaries({"provider": TEXT}, optional={"region": TEXT, "cluster": TEXT})
    targets = draw(st.dictionaries(NAMES, target, min_size=1, max_size=3))
    chosen = st.lists(st.sampled_from(sorted(targets)), min_size=1, max_size=3, unique=True)
    model = st.fixed_dictionaries({"source": TEXT, "targets": chosen}, optional={"team": TEXT})
    models = draw(st.dictionaries(NAMES, model, min_size=1, max_size=2))
    route = {"model": st.sampled_from(sorted(models))}
    optional = {"score": shares(), "timeout": SECONDS, "per_try_timeout": SECONDS}
    parts = {
        "name": NAMES,
        "routes": st.dictionaries(NAMES, st.fixed_dictionaries(route, optional=optional), max_size=3),
        "router": st.fixed_dictionaries({}, optional={"host": TEXT, "port": st.integers(0, 65535)}),
        "store": st.fixed_dictionaries({"url": TEXT}),
        "providers": st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers() | TEXT | st.booleans(), min_size=1), max_size=2),
    }
    return {"targets": targets, "models": models} | draw(st.fixed_dictionaries({}, optional=parts))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(documents())
def test_any_settings_survive_the_way_through_a_file(project: Path, values: dict[str, Any]) -> None:
    from mcml.core.schema import Settings

    assert read(write(project, render(values))).settings == Settings.model_validate(values)


def test_the_annotated_example_is_valid_and_names_every_key(project: Path) -> None:
    import json
    import tomllib

    import jsonschema

    from mcml.core.schema import Settings

    schema = json.loads(json.dumps(Settings.model_json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    example = tomllib.loads(annotated())
    jsonschema.validate(example, schema)
    assert read(write(project, annotated())).settings == Settings.model_validate(example)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties are not allowed"):
        jsonschema.validate(example | {"nmae": "x"}, schema)
    with pytest.raises(jsonschema.ValidationError, match="does not match"):
        jsonschema.validate(example | {"targets": {"EU_1": {"provider": "local"}}}, schema)
