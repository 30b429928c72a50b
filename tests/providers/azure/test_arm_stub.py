"""The stub of Azure Resource Manager, driven by the official SDK: what does not fit the SDK's models is refused, in both directions."""

from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.models import VirtualMachine
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.monitor.models import MetricAlertResource

from mcml.providers.azure.session import Session
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing, throttled
from mcml.testing.stubs.azure_models import model, normal, problems, routes

SDK = "azure.mgmt.compute"
VMS = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines"
VM = f"{VMS}/{{name}}"
MACHINE: dict[str, Any] = {
    "id": "/subscriptions/s/resourceGroups/ml/providers/Microsoft.Compute/virtualMachines/m1",
    "name": "m1",
    "location": "westeurope",
    "tags": {"any": "tag"},
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
        "timeCreated": "2026-01-02T03:04:05Z",
        "provisioningState": "Succeeded",
    },
}


@pytest.fixture
def vms(arm_session: Session) -> Any:
    return arm_session.management(ComputeManagementClient).virtual_machines


def changed(**properties: Any) -> dict[str, Any]:
    return {**MACHINE, "properties": {**MACHINE["properties"], **properties}}


def test_an_answer_that_fits_comes_through(arm: ArmStub, vms: Any) -> None:
    arm.on("GET", VM, lambda request: {**MACHINE, "name": request.parts["name"]}, sdk=SDK, answer="VirtualMachine")
    found = vms.get("ml", "m7")
    assert (found.name, found.hardware_profile.vm_size, found.tags) == ("m7", "Standard_D2s_v3", {"any": "tag"})
    assert [(request.method, request.query["api-version"], request.status) for request in arm.requests] == [("GET", "2026-04-01", 200)]
    assert "authorization" not in arm.requests[0].headers


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({**MACHINE, "colour": "red"}, "VirtualMachine.colour: the SDK knows no such field"),
        (changed(hardwareProfile={"vmsize": "x"}), "VirtualMachine.properties.hardwareProfile.vmsize: the SDK knows no such field"),
        (changed(hardwareProfile={"vmSize": 2}), "2 is none of"),
        (changed(licenseType=2), "VirtualMachine.properties.licenseType: 2 where str should be"),
        (changed(priority="Cheap"), "'Cheap' is none of Regular, Low, Spot"),
        (changed(timeCreated="yesterday"), "'yesterday' is no datetime"),
        (changed(networkProfile=[]), "list where NetworkProfile should be"),
        ({"name": "m1"}, "VirtualMachine.location: it is required"),
        ({**MACHINE, "tags": {"n": 1}}, "VirtualMachine.tags.n: 1 where str should be"),
        ({**MACHINE, "zones": "1"}, "VirtualMachine.zones: str where a list should be"),
    ],
)
def test_an_answer_that_does_not_fit_fails(arm: ArmStub, vms: Any, answer: dict[str, Any], told: str) -> None:
    arm.on("GET", VM, lambda request: answer, sdk=SDK, answer="VirtualMachine")
    with pytest.raises(HttpResponseError) as caught:
        vms.get("ml", "m1")
    assert caught.value.status_code == 501
    assert told in arm.problems[0]
    arm.problems.clear()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"location": "westeurope", "zonez": ["1"]}, "VirtualMachine.zonez: the SDK knows no such field"),
        ({"location": "westeurope", "properties": {"priority": "Cheap"}}, "'Cheap' is none of"),
        ({"location": "westeurope", "properties": {"provisioningState": "Succeeded"}}, "only the service may set it"),
        ({"properties": {}}, "VirtualMachine.location: it is required"),
    ],
)
def test_a_request_that_does_not_fit_fails(arm: ArmStub, vms: Any, body: dict[str, Any], told: str) -> None:
    arm.on("PUT", VM, lambda request: MACHINE, sdk=SDK, body="VirtualMachine", answer="VirtualMachine")
    with pytest.raises(HttpResponseError) as caught:
        vms.begin_create_or_update("ml", "m1", body)
    assert caught.value.status_code == 400
    assert told in arm.problems[0]
    arm.problems.clear()


def test_leaving_with_problems_fails(certificate: Any) -> None:
    stub = ArmStub(*certificate)
    stub.problems.append("GET /x: in our answer, a wrong field")
    with pytest.raises(AssertionError, match="a wrong field"):
        stub.close()


def test_an_operation_that_the_sdk_has_not(arm: ArmStub) -> None:
    with pytest.raises(ValueError, match="has no operation GET /subscriptions/x"):
        arm.on("GET", "/subscriptions/x", lambda request: {}, sdk=SDK)
    with pytest.raises(ValueError, match="sends 2026-04-01"):
        arm.on("GET", VM, lambda request: {}, sdk=SDK, api="2020-01-01", answer="VirtualMachine")
    with pytest.raises(ValueError, match="has no VirtualMachina"):
        arm.on("GET", VM, lambda request: {}, sdk=SDK, answer="VirtualMachina")


def test_no_handler_is_501_and_another_api_version_400(arm: ArmStub, vms: Any) -> None:
    with pytest.raises(HttpResponseError) as caught:
        vms.get("ml", "m1")
    assert caught.value.status_code == 501
    assert "no handler for GET" in arm.problems.pop()
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")
    with pytest.raises(HttpResponseError) as caught:
        vms.get("ml", "m1", api_version="2001-01-01")
    assert "api-version '2001-01-01' where the SDK sends 2026-04-01" in arm.problems.pop()


def test_pages(arm: ArmStub, vms: Any) -> None:
    machines = [{**MACHINE, "name": f"m{number}"} for number in range(5)]
    arm.on("GET", VMS, lambda request: arm.page(request, machines, size=2), sdk=SDK, answer="[VirtualMachine]")
    assert [found.name for found in vms.list("ml")] == ["m0", "m1", "m2", "m3", "m4"]
    assert len(arm.sent("GET", "virtualMachines")) == 3


@pytest.mark.parametrize("via", ["async", "location", "both"])
def test_a_long_running_operation(arm: ArmStub, vms: Any, via: str) -> None:
    ended: list[str] = []
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")

    def begin(request: Request) -> Reply:
        return arm.operation(request, lambda: ended.append("ended"), via=via, polls=2)

    arm.on("POST", f"{VM}/start", begin, sdk=SDK)
    assert vms.begin_start("ml", "m1", polling_interval=0).result() is None
    assert ended == ["ended"]


def test_a_long_running_creation_gives_the_resource(arm: ArmStub, vms: Any) -> None:
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")

    def put(request: Request) -> Reply:
        return arm.operation(request, status=201, body=changed(provisioningState="Creating"))

    arm.on("PUT", VM, put, sdk=SDK, body="VirtualMachine", answer="VirtualMachine")
    made = vms.begin_create_or_update("ml", "m1", VirtualMachine(location="westeurope"), polling_interval=0).result()
    assert made.provisioning_state == "Succeeded"


def test_a_long_running_operation_that_fails(arm: ArmStub, vms: Any) -> None:
    full = ArmError(409, "AllocationFailed", "No capacity.")
    arm.on("POST", f"{VM}/start", lambda request: arm.operation(request, failure=full), sdk=SDK)
    with pytest.raises(HttpResponseError, match="No capacity") as caught:
        vms.begin_start("ml", "m1", polling_interval=0).result()
    assert caught.value.error is not None
    assert caught.value.error.code == "AllocationFailed"


def test_errors_in_arms_form(arm: ArmStub, vms: Any) -> None:
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")
    arm.fail(missing("virtualMachines/m1"), throttled(7), ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        vms.get("ml", "m1")
    with pytest.raises(HttpResponseError, match="TooManyRequests") as caught:
        vms.get("ml", "m1")
    assert caught.value.response is not None
    assert caught.value.response.headers["Retry-After"] == "7"
    with pytest.raises(ClientAuthenticationError):
        vms.get("ml", "m1")
    assert vms.get("ml", "m1").name == "m1"
    assert throttled(7).fault.status == 429


def test_a_model_of_the_older_generation(arm: ArmStub, arm_session: Session) -> None:
    alert: dict[str, Any] = {
        "location": "global",
        "properties": {
            "severity": 3,
            "enabled": True,
            "scopes": ["/subscriptions/s"],
            "evaluationFrequency": "PT1M",
            "windowSize": "PT15M",
            "criteria": {
                "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [
                    {
                        "criterionType": "StaticThresholdCriterion",
                        "name": "High",
                        "metricName": "cpu",
                        "operator": "GreaterThan",
                        "threshold": 80.5,
                        "timeAggregation": "Average",
                    }
                ],
            },
        },
    }
    assert problems(MetricAlertResource, alert, request=False) == []
    criterion = alert["properties"]["criteria"]["allOf"][0]
    criterion["operator"], alert["properties"]["windowSize"], alert["properties"]["limit"] = "Above", "15 minutes", 1
    told = [line.split(": ")[0].partition(".properties.")[2] for line in problems(MetricAlertResource, alert, request=False)]
    assert told == ["windowSize", "criteria.allOf[0].operator", "limit"]
    group = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/metricAlerts/{name}"
    arm.on("GET", group, lambda request: alert, sdk="azure.mgmt.monitor", answer="MetricAlertResource")
    with pytest.raises(HttpResponseError):
        arm_session.management(MonitorManagementClient).metric_alerts.get("ml", "a")
    assert "windowSize" in arm.problems[0]
    arm.problems.clear()


def test_every_model_of_every_package_can_be_judged() -> None:
    packages = ("compute", "containerservice", "monitor", "sql", "costmanagement", "resource.resources", "storage", "containerregistry")
    for package in packages:
        found = routes(f"azure.mgmt.{package}")
        assert len(found) >= 30, package
        assert all(version for versions in found.values() for version in versions)
    assert problems(model(SDK, "[VirtualMachine]"), {"value": [{}]}, request=False) == [
        "page of VirtualMachine.value[0].location: it is required"
    ]
    assert normal("/A/{x}/b/") == "/a/{}/b"
