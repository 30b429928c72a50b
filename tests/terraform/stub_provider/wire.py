"""The messages of Terraform's plugin protocol 6, built from the table below; field numbers are those of tfplugin6.proto.

https://github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin6.proto. Only what a provider of managed resources, data
sources and ephemeral resources needs: no functions, no resource identity, no deferred actions.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_KIND = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _KIND.TYPE_STRING, "bytes": _KIND.TYPE_BYTES, "bool": _KIND.TYPE_BOOL, "int64": _KIND.TYPE_INT64}

MESSAGES = """
DynamicValue             msgpack:bytes=1 json:bytes=2
Diagnostic               severity:int64=1 summary:string=2 detail:string=3
RawState                 json:bytes=1
ServerCapabilities       plan_destroy:bool=1 get_provider_schema_optional:bool=2 move_resource_state:bool=3
Attribute                name:string=1 type:bytes=2 required:bool=4 optional:bool=5 computed:bool=6 sensitive:bool=7 deprecated:bool=9 write_only:bool=11
NestedBlock              type_name:string=1 block:Block=2 nesting:int64=3 min_items:int64=4 max_items:int64=5
Block                    version:int64=1 attributes:*Attribute=2 block_types:*NestedBlock=3 deprecated:bool=6
Schema                   version:int64=1 block:Block=2
NamedSchema              key:string=1 value:Schema=2
TypeName                 type_name:string=1
Empty
MetadataResponse         server_capabilities:ServerCapabilities=1 data_sources:*TypeName=3 resources:*TypeName=4 ephemeral_resources:*TypeName=6
SchemaResponse           provider:Schema=1 resource_schemas:*NamedSchema=2 data_source_schemas:*NamedSchema=3 diagnostics:*Diagnostic=4 server_capabilities:ServerCapabilities=6 ephemeral_resource_schemas:*NamedSchema=8
ConfigRequest            config:DynamicValue=1
TypedConfigRequest       type_name:string=1 config:DynamicValue=2
DiagnosticsFirst         diagnostics:*Diagnostic=1
DiagnosticsSecond        diagnostics:*Diagnostic=2
UpgradeRequest           type_name:string=1 version:int64=2 raw_state:RawState=3
StateResponse            state:DynamicValue=1 diagnostics:*Diagnostic=2 private:bytes=3
ReadRequest              type_name:string=1 current_state:DynamicValue=2 private:bytes=3
PlanRequest              type_name:string=1 prior_state:DynamicValue=2 proposed_new_state:DynamicValue=3 config:DynamicValue=4 prior_private:bytes=5
PlanResponse             planned_state:DynamicValue=1 planned_private:bytes=3 diagnostics:*Diagnostic=4 legacy_type_system:bool=5
ApplyRequest             type_name:string=1 prior_state:DynamicValue=2 planned_state:DynamicValue=3 config:DynamicValue=4 planned_private:bytes=5
ApplyResponse            new_state:DynamicValue=1 private:bytes=2 diagnostics:*Diagnostic=3 legacy_type_system:bool=4
ImportRequest            type_name:string=1 id:string=2
ImportedResource         type_name:string=1 state:DynamicValue=2 private:bytes=3
ImportResponse           imported_resources:*ImportedResource=1 diagnostics:*Diagnostic=2
OpenResponse             diagnostics:*Diagnostic=1 result:DynamicValue=3
StopResponse             Error:string=1
"""  # noqa: E501 - a table

METHODS = {
    "GetMetadata": ("Empty", "MetadataResponse"),
    "GetProviderSchema": ("Empty", "SchemaResponse"),
    "ValidateProviderConfig": ("ConfigRequest", "DiagnosticsSecond"),
    "ValidateResourceConfig": ("TypedConfigRequest", "DiagnosticsFirst"),
    "ValidateDataResourceConfig": ("TypedConfigRequest", "DiagnosticsFirst"),
    "ValidateEphemeralResourceConfig": ("TypedConfigRequest", "DiagnosticsFirst"),
    "ConfigureProvider": ("TypedConfigRequest", "DiagnosticsFirst"),
    "UpgradeResourceState": ("UpgradeRequest", "StateResponse"),
    "ReadResource": ("ReadRequest", "StateResponse"),
    "ReadDataSource": ("TypedConfigRequest", "StateResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ImportResourceState": ("ImportRequest", "ImportResponse"),
    "OpenEphemeralResource": ("TypedConfigRequest", "OpenResponse"),
    "CloseEphemeralResource": ("Empty", "DiagnosticsFirst"),
    "StopProvider": ("Empty", "StopResponse"),
}
"""The methods of service tfplugin6.Provider: what comes in and what goes out. A map field is a repeated message with key and value."""


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="stub_provider.proto", package="stub", syntax="proto3")
    for line in MESSAGES.strip().splitlines():
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        for field in fields:
            told, _, number = field.partition("=")
            label, _, kind = told.partition(":")
            many = _KIND.LABEL_REPEATED if kind.startswith("*") else _KIND.LABEL_OPTIONAL
            made = message.field.add(name=label, number=int(number), label=many)
            kind = kind.removeprefix("*")
            if kind in _SCALARS:
                made.type = _SCALARS[kind]
            else:
                made.type, made.type_name = _KIND.TYPE_MESSAGE, f".stub.{kind}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_described())


def message(name: str) -> Any:
    """Return the class of a message of the table."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"stub.{name}"))
