"""What the stub does: plans what was asked, makes up what a cloud would have decided, remembers nothing but the state."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tests.terraform.stub_provider import schema as schemas
from tests.terraform.stub_provider.values import UNKNOWN, Value, decode, encode, known, stored
from tests.terraform.stub_provider.wire import message


class Provider:
    """Serves one provider's schema.

    `answers` are values of data sources and of computed attributes by `type.attribute`. `filled` are the blocks (`type.block`) that the
    real provider fills when they are left out, which no schema says. `found` is what somebody else changed since, seen at a refresh: by
    type, attributes that are other now, or None for what is gone.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        answers: Mapping[str, Value] | None = None,
        filled: Collection[str] = (),
        found: Mapping[str, Mapping[str, Value] | None] | None = None,
    ) -> None:
        self._schema, self._answers, self._filled, self._found = schema, answers or {}, filled, found or {}

    def GetMetadata(self, _: Any) -> Any:  # noqa: N802 - the protocol's names
        names = {"data_sources": "data_source", "resources": "resource", "ephemeral_resources": "ephemeral_resource"}
        named = message("TypeName")
        told = {field: [named(type_name=name) for name in self._schema.get(f"{kind}_schemas", {})] for field, kind in names.items()}
        return message("MetadataResponse")(server_capabilities=self._can(), **told)

    def GetProviderSchema(self, _: Any) -> Any:  # noqa: N802
        kinds = ("resource_schemas", "data_source_schemas", "ephemeral_resource_schemas")
        named = message("NamedSchema")
        told = {kind: [named(key=k, value=schemas.to_message(v)) for k, v in self._schema.get(kind, {}).items()] for kind in kinds}
        return message("SchemaResponse")(provider=schemas.to_message(self._schema["provider"]), server_capabilities=self._can(), **told)

    def UpgradeResourceState(self, request: Any) -> Any:  # noqa: N802
        block = self._resource(request.type_name)
        (_, kinds), value = schemas.type_of(block), schemas.empty(block) | json.loads(request.raw_state.json)
        return message("StateResponse")(state=_dynamic({name: stored(found, kinds[name]) for name, found in value.items()}))

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        state, name = request.current_state, request.type_name
        if name in self._found:
            found, (_, kinds) = self._found[name], schemas.type_of(self._resource(name))
            changed = {key: stored(value, kinds[key]) for key, value in (found or {}).items()}
            state = _dynamic(None if found is None else decode(state.msgpack) | changed)
        return message("StateResponse")(state=state, private=request.private)

    def ReadDataSource(self, request: Any) -> Any:  # noqa: N802
        block = self._schema["data_source_schemas"][request.type_name]["block"]
        return message("StateResponse")(state=_dynamic(self._answered(request, block)))

    def OpenEphemeralResource(self, request: Any) -> Any:  # noqa: N802
        block = self._schema["ephemeral_resource_schemas"][request.type_name]["block"]
        return message("OpenResponse")(result=_dynamic(self._answered(request, block)))

    def PlanResourceChange(self, request: Any) -> Any:  # noqa: N802
        prior, proposed, config = (decode(one.msgpack) for one in (request.prior_state, request.proposed_new_state, request.config))
        block, planned = self._resource(request.type_name), proposed
        if proposed is not None:
            left_out = [name for name in proposed if f"{request.type_name}.{name}" in self._filled and not proposed[name]]
            filled = proposed | {name: prior[name] if prior else UNKNOWN for name in left_out}
            planned = prior if filled == prior else schemas.each_attribute(block, filled, config, schemas.planned)
        return message("PlanResponse")(planned_state=_dynamic(planned), planned_private=request.prior_private, legacy_type_system=True)

    def ApplyResourceChange(self, request: Any) -> Any:  # noqa: N802
        planned = decode(request.planned_state.msgpack)
        block = self._resource(request.type_name)
        made = planned if planned is None else self._known(request.type_name, block, planned)
        return message("ApplyResponse")(new_state=_dynamic(made), private=request.planned_private, legacy_type_system=True)

    def ImportResourceState(self, request: Any) -> Any:  # noqa: N802
        state = schemas.empty(self._resource(request.type_name)) | {"id": request.id}
        found = message("ImportedResource")(type_name=request.type_name, state=_dynamic(state))
        return message("ImportResponse")(imported_resources=[found])

    def _can(self) -> Any:
        return message("ServerCapabilities")(get_provider_schema_optional=True)

    def _resource(self, name: str) -> Mapping[str, Any]:
        block: Mapping[str, Any] = self._schema["resource_schemas"][name]["block"]
        return block

    def _answered(self, request: Any, block: Mapping[str, Any]) -> Value:
        config = decode(request.config.msgpack)
        return self._known(request.type_name, block, schemas.each_attribute(block, config, config, schemas.planned))

    def _known(self, kind: str, block: Mapping[str, Any], value: dict[str, Value]) -> Value:
        told = {name: self._answers[f"{kind}.{name}"] for name in value if f"{kind}.{name}" in self._answers}
        known_by = json.dumps(value, sort_keys=True, default=repr)
        where = f"{kind}.{hashlib.sha256(known_by.encode()).hexdigest()[:8]}"
        undecided = {name: told.get(name, found) if found is UNKNOWN else found for name, found in value.items()}
        return known(undecided, schemas.type_of(block), where)


def read(path: Path) -> Mapping[str, Any]:
    """Return the one provider's schema of a file."""
    (found,) = json.loads(path.read_text())["provider_schemas"].values()
    schema: Mapping[str, Any] = found
    return schema


def _dynamic(value: Value) -> Any:
    return message("DynamicValue")(msgpack=encode(value))
