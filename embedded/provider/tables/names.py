"""Route 53 records."""

from __future__ import annotations

from typing import Any

from embedded.provider.table import Call, Expression, Kind, Read, Scope, Update, from_inputs, given


def _record(inputs: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
    if inputs.get("aliases"):
        (alias,) = inputs["aliases"]
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }
    else:
        record["TTL"] = inputs.get("ttl")
        record["ResourceRecords"] = [{"Value": value} for value in inputs.get("records") or []]
    return record


_INPUTS = ("name", "type", "ttl", "records", "aliases")


def _change(action: str, *, of_old: bool = False) -> Call:
    record = Expression(lambda s: _record(s.old_inputs)) if of_old else from_inputs(*_INPUTS)(_record)
    return Call(
        "route53.change_resource_record_sets",
        {
            "HostedZoneId": given("zoneId"),
            "ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": record}]},
        },
        missing_is_fine=action == "DELETE",
    )


def _seen(scope: Scope) -> dict[str, Any]:
    wanted = scope.inputs.get("name", "").rstrip(".")
    for record in scope.answer.get("ResourceRecordSets") or []:
        if record["Name"].rstrip(".") == wanted and record["Type"] == scope.inputs.get("type"):
            return dict(record)
    return {}


KINDS = (
    Kind(
        "aws:route53/record:Record",
        create=_change("UPSERT"),
        id=Expression(lambda s: f"{s.inputs['zoneId']}_{s.inputs['name']}_{s.inputs['type']}"),
        read=(
            Read(
                "route53.list_resource_record_sets",
                {"HostedZoneId": given("zoneId"), "StartRecordName": given("name")},
                at="{ResourceRecordSets: ResourceRecordSets}",
            ),
        ),
        updates=(
            Update(("type",), (_change("DELETE", of_old=True), _change("UPSERT"))),
            Update(("ttl", "records", "aliases"), (_change("UPSERT"),)),
        ),
        outputs={
            "fqdn": given("name"),
            "ttl": Expression(lambda s: _seen(s).get("TTL")),
            "records": Expression(
                lambda s: [each["Value"] for each in _seen(s).get("ResourceRecords") or []] or None
            ),
        },
        not_carried={"allowOverwrite": "UPSERT overwrites always"},
        delete=(_change("DELETE"),),
    ),
)
