"""The stub of AWS speaks the SDK's protocols, and refuses what the SDK's own models do not have, in either direction."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from mcml.testing.stubs.aws_model import AwsError, AwsModel

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PERIOD = {"Start": "2026-05-01", "End": "2026-05-02"}
SERVICES = ("pricing", "ce", "compute-optimizer", "savingsplans", "cloudwatch", "ec2", "autoscaling")
Client = Callable[..., Any]


@pytest.fixture
def stub() -> Iterator[AwsModel]:
    with AwsModel(*SERVICES) as standing:
        yield standing


@pytest.fixture
def client(stub: AwsModel) -> Iterator[Client]:
    made = []

    def make(service: str, **config: Any) -> Any:
        keys = {"aws_access_key_id": "AKIATESTKEY000000001", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        once = Config(retries={"total_max_attempts": 1}, **config)
        made.append(boto3.client(service, endpoint_url=stub.url, config=once, **keys))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_json_both_ways(stub: AwsModel, client: Client) -> None:
    stub.on("pricing", "GetProducts", lambda asked: {"FormatVersion": asked["FormatVersion"], "PriceList": ['{"product": {}}']})
    filters = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}]
    answer = client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters, FormatVersion="aws_v1")
    assert (answer["FormatVersion"], answer["PriceList"]) == ("aws_v1", ['{"product": {}}'])
    assert stub.requests("pricing", "GetProducts") == [{"ServiceCode": "AmazonEC2", "Filters": filters, "FormatVersion": "aws_v1"}]


def test_times_in_json_both_ways(stub: AwsModel, client: Client) -> None:
    values = {"Id": "m1", "Timestamps": [NOON], "Values": [0.5], "StatusCode": "Complete"}
    stub.on("cloudwatch", "GetMetricData", {"MetricDataResults": [values]})
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}]}
    query = {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "p99"}}
    answer = client("cloudwatch").get_metric_data(MetricDataQueries=[query], StartTime=NOON, EndTime=NOON)
    assert answer["MetricDataResults"] == [values]
    (asked,) = stub.requests("cloudwatch", "GetMetricData")
    assert asked == {"MetricDataQueries": [query], "StartTime": NOON.timestamp(), "EndTime": NOON.timestamp()}


def test_ec2_query_both_ways(stub: AwsModel, client: Client) -> None:
    price = {"AvailabilityZone": "eu-west-1a", "InstanceType": "m5.large", "SpotPrice": "0.04", "Timestamp": NOON}
    stub.on("ec2", "DescribeSpotPriceHistory", {"SpotPriceHistory": [price, price], "NextToken": "a<b"})
    filters = [{"Name": "product-description", "Values": ["Linux/UNIX", "Windows"]}]
    answer = client("ec2").describe_spot_price_history(Filters=filters, InstanceTypes=["m5.large"], MaxResults=7, DryRun=False)
    assert (answer["SpotPriceHistory"], answer["NextToken"]) == ([price, price], "a<b")
    (asked,) = stub.requests("ec2", "DescribeSpotPriceHistory")
    assert asked == {"Filters": filters, "InstanceTypes": ["m5.large"], "MaxResults": 7, "DryRun": False}


def test_query_both_ways(stub: AwsModel, client: Client) -> None:
    group = {
        "AutoScalingGroupName": "workers", "MinSize": 0, "MaxSize": 3, "DesiredCapacity": 1, "DefaultCooldown": 300,
        "AvailabilityZones": ["eu-west-1a"], "HealthCheckType": "EC2", "CreatedTime": NOON, "NewInstancesProtectedFromScaleIn": True,
    }  # fmt: skip
    stub.on("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": [group]})
    answer = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["workers", "others"], MaxRecords=5)
    assert answer["AutoScalingGroups"] == [group]
    (asked,) = stub.requests("autoscaling", "DescribeAutoScalingGroups")
    assert asked == {"AutoScalingGroupNames": ["workers", "others"], "MaxRecords": 5}


def test_rest_json_both_ways(stub: AwsModel, client: Client) -> None:
    stub.on("savingsplans", "DescribeSavingsPlans", {"savingsPlans": [{"savingsPlanId": "s1", "state": "active", "commitment": "1.5"}]})
    (plan,) = client("savingsplans").describe_savings_plans(states=["active"])["savingsPlans"]
    assert plan == {"savingsPlanId": "s1", "state": "active", "commitment": "1.5"}
    assert stub.requests("savingsplans", "DescribeSavingsPlans") == [{"states": ["active"]}]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"TimePeriod": PERIOD, "Granularity": "DAILY", "Metrics": ["UnblendedCost"], "Granularrity": "x"}, "Granularrity"),
        ({"TimePeriod": PERIOD, "Metrics": ["UnblendedCost"]}, "Granularity"),
        ({"TimePeriod": {"Start": 5, "End": "2026-05-02"}, "Granularity": "DAILY", "Metrics": ["UnblendedCost"]}, "TimePeriod.Start"),
        ({"TimePeriod": PERIOD, "Granularity": "WEEKLY", "Metrics": ["UnblendedCost"]}, "'WEEKLY', not one of DAILY, MONTHLY, HOURLY"),
    ],
)
def test_a_wrong_field_in_a_request_is_refused(stub: AwsModel, asked: dict[str, Any], said: str) -> None:
    """By the server: the SDK itself would not send most of them."""
    stub.on("ce", "GetCostAndUsage", {"ResultsByTime": []})
    headers = {"X-Amz-Target": "AWSInsightsIndexService.GetCostAndUsage", "Content-Type": "application/x-amz-json-1.1"}
    request = urllib.request.Request(stub.url, json.dumps(asked).encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        told = json.load(answer)
    assert (refused.value.code, told["__type"]) == (400, "ValidationException")
    assert said in told["message"]
    assert stub.requests("ce", "GetCostAndUsage") == []


def test_a_word_that_the_model_lacks_is_refused_in_a_form_too(stub: AwsModel, client: Client) -> None:
    with pytest.raises(ClientError, match="'always', not one of"):
        client("ec2").describe_instance_types(InstanceTypes=["always"])


@pytest.mark.parametrize(
    ("service", "operation", "answer", "said"),
    [
        ("ce", "GetCostAndUsage", {"ResultByTime": []}, "ResultByTime"),
        ("ce", "GetCostAndUsage", {"ResultsByTime": [{"Estimated": "yes"}]}, "ResultsByTime[0].Estimated"),
        ("ce", "GetCostForecast", {"ForecastResultsByTime": [{"TimePeriod": {"Start": "2026-05-01"}}]}, "End"),
        ("cloudwatch", "GetMetricData", {"MetricDataResults": [{"StatusCode": "Completed"}]}, "'Completed', not one of Complete"),
        ("ec2", "DescribeSpotPriceHistory", {"SpotPriceHistory": [{"SpotPrice": 0.04}]}, "SpotPrice"),
    ],
)
def test_a_wrong_field_in_an_answer_is_refused_and_fails_the_test(service: str, operation: str, answer: dict[str, Any], said: str) -> None:
    stub = AwsModel(service)
    stub.on(service, operation, answer)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1", "endpoint_url": stub.url}
    client = boto3.client(service, config=Config(retries={"total_max_attempts": 1}, parameter_validation=False), **keys)
    asked: dict[str, dict[str, Any]] = {
        "GetCostAndUsage": {"TimePeriod": PERIOD, "Granularity": "DAILY", "Metrics": ["UnblendedCost"]},
        "GetCostForecast": {"TimePeriod": PERIOD, "Granularity": "DAILY", "Metric": "UNBLENDED_COST"},
        "GetMetricData": {"MetricDataQueries": [], "StartTime": NOON, "EndTime": NOON},
    }
    with pytest.raises(ClientError, match="StubFailed"):
        client._make_api_call(operation, asked.get(operation, {}))
    client.close()
    with pytest.raises(RuntimeError, match="the stub of AWS failed") as failed:
        stub.close()
    assert said in str(failed.value)


def test_a_handler_that_fails_fails_the_test() -> None:
    stub = AwsModel("pricing")
    stub.on("pricing", "DescribeServices", lambda asked: {"Services": asked["absent"]})
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1", "endpoint_url": stub.url}
    client = boto3.client("pricing", config=Config(retries={"total_max_attempts": 1}), **keys)
    with pytest.raises(ClientError, match="StubFailed"):
        client.describe_services()
    client.close()
    with pytest.raises(RuntimeError, match="KeyError: 'absent'"):
        stub.close()


@pytest.mark.parametrize("service", ["ce", "cloudwatch", "ec2", "autoscaling", "savingsplans"])
def test_errors_in_each_protocol(stub: AwsModel, client: Client, service: str) -> None:
    """As a handler raises them, and 501 with the name where there is no handler."""
    ask: dict[str, tuple[str, dict[str, Any]]] = {
        "ce": ("ListCostAllocationTags", {}),
        "cloudwatch": ("ListMetrics", {}),
        "ec2": ("DescribeRegions", {}),
        "autoscaling": ("DescribeAccountLimits", {}),
        "savingsplans": ("DescribeSavingsPlans", {}),
    }
    operation, asked = ask[service]
    with pytest.raises(ClientError) as absent:
        client(service)._make_api_call(operation, asked)
    assert absent.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert absent.value.response["Error"]["Message"] == f"no handler for {service} {operation}"

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise AwsError("ThrottlingException", "Rate exceeded <now>", 429)

    stub.on(service, operation, refuse)
    with pytest.raises(ClientError) as busy:
        client(service)._make_api_call(operation, asked)
    assert busy.value.response["Error"]["Code"] == "ThrottlingException"
    assert busy.value.response["Error"]["Message"] == "Rate exceeded <now>"
    assert busy.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_a_service_that_is_not_served_is_told_apart(stub: AwsModel, client: Client) -> None:
    with pytest.raises(ClientError) as absent:
        client("budgets").describe_budgets(AccountId="123456789012")
    assert absent.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_an_operation_that_does_not_exist_cannot_be_registered(stub: AwsModel) -> None:
    with pytest.raises(Exception, match="GetPrices"):
        stub.on("pricing", "GetPrices", {})
