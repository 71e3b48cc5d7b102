"""A story that needs every tool: a contract from its template to the repository, then records, webhooks and people."""

import base64
import hashlib
from typing import Any

import simulator
from sessions import Session

NDA = {
    "counterpartyName": "Acme LLC",
    "effectiveDate": "2026-12-01",
    "paperSource": "Our paper",
    "counterpartySigner": "Ada Byron",
    "counterpartySignerEmail": "ada.byron@acme.example",
}


class Story:
    """Calls tools through one session, and remembers which ones answered."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answered: set[str] = set()

    async def step(self, tool: str, **arguments: Any) -> dict:
        """One call that must succeed."""
        result = await self.session.call(tool, arguments)
        assert not result.is_error, f"{tool}: {result.structured}"
        self.answered.add(tool)
        return result.structured

    async def tell(self) -> None:
        template_id = await self.choose_template()
        await self.sign_contract(template_id)
        await self.cancel_contract(template_id)
        await self.typed_launches()
        await self.lists()
        await self.records()
        await self.webhooks()
        await self.people()
        await self.large_document()
        await self.mistakes()

    async def choose_template(self) -> str:
        found = await self.step("list_workflow_schemas", name_contains="nda")
        template = found["items"][0]
        form = await self.step("get_workflow_schema", template_id=template["id"])
        missing = [key for key, node in form["schema"].items() if node["required"] == "always" and key not in NDA]
        assert not missing, f"the form wants more: {missing}"
        return template["id"]

    async def approve(self, workflow_id: str) -> None:
        approvals = await self.step("list_workflow_approvals", workflow_id=workflow_id)
        for group in approvals["approvalGroups"]:
            for reviewer in group["reviewers"]:
                approval = {"role_id": reviewer["role"], "status": "approved"}
                await self.step("update_workflow_approval", workflow_id=workflow_id, **approval)

    async def sign_contract(self, template_id: str) -> None:
        launch = {"template_id": template_id, "attributes": NDA}
        tried = await self.step("launch_workflow", **launch, dry_run=True)
        assert tried["dry_run"] is True and tried["request"]["method"] == "POST", tried
        of = {"workflow_id": (await self.step("launch_workflow", **launch))["id"]}
        updates = [{"action": "set", "path": "additionalNotes", "value": "12.5"}]
        changed = await self.step("update_workflow_attributes", **of, updates=updates, comment="as agreed")
        assert changed["attributes"]["additionalNotes"] == "12.5", changed
        await self.step("pause_workflow", **of, comment="waiting for the counterparty")
        assert (await self.step("get_workflow", **of))["status"] == "paused"
        await self.step("resume_workflow", **of, comment="they answered")
        await self.approve(of["workflow_id"])
        requests = await self.step("list_approval_requests", **of, actor_details=True)
        assert requests["items"], requests
        await self.step("revert_workflow_to_review", **of)
        await self.approve(of["workflow_id"])
        assert (await self.step("send_signature_request", **of))["status"] == "sent"
        simulator.control("POST", f"workflows/{of['workflow_id']}/sign")
        simulator.control("POST", f"workflows/{of['workflow_id']}/advance")
        done = await self.step("get_workflow", **of, fields=["step", "status", "recordIds"])
        assert done["status"] == "completed", done
        record = await self.step("get_record", record_id=done["recordIds"][0])
        assert record["properties"]["counterpartyName"]["value"] == NDA["counterpartyName"], record

    async def cancel_contract(self, template_id: str) -> None:
        workflow = await self.step("launch_workflow", template_id=template_id, attributes=NDA)
        await self.step("cancel_workflow", workflow_id=workflow["id"], comment="no longer needed")
        gone = await self.step("get_workflow", workflow_id=workflow["ironcladId"])
        assert gone["status"] == "cancelled", gone

    async def typed_launches(self) -> None:
        """Each template's own tool takes the example of its form."""
        for template in (await self.step("list_workflow_schemas"))["items"]:
            form = await self.step("get_workflow_schema", template_id=template["id"])
            tool = "launch_" + template["name"].lower().replace(" ", "_")
            launched = await self.step(tool, attributes=form["example"])
            assert launched["template"] == template["id"], launched

    async def lists(self) -> None:
        first = await self.step("list_workflows", limit=5, fields=["id", "title"])
        second = await self.step("list_workflows", limit=5, fields=["id", "title"], cursor=first["next_cursor"])
        ids = {item["id"] for item in first["items"] + second["items"]}
        assert first["has_more"] and len(ids) == 10, (first, second)

    async def records(self) -> None:
        def date(day: str) -> dict:
            return {"type": "date", "value": f"{day}T00:00:00Z"}

        schema = await self.step("get_record_schema", fields=["recordTypes", "properties.contractValue"])
        assert "mutualNda" in schema["recordTypes"], schema
        properties = {
            "counterpartyName": {"type": "string", "value": "Acme LLC"},
            "effectiveDate": date("2026-01-01"),
            "expirationDate": date("2028-01-01"),
            "standard_renewalType": {"type": "string", "value": "None"},
        }
        record = await self.step("create_record", type="mutualNda", name="Acme NDA", properties=properties)
        of = {"record_id": record["id"]}
        await self.step("update_record", **of, name="Acme NDA, renamed")
        ended = {"standard_terminatedDate": date("2026-08-31"), "standard_terminationEffectiveDate": date("2026-10-31")}
        await self.step("run_record_action", **of, action={"type": "terminate", "properties": ended})
        found = await self.step("list_records", types=["mutualNda"], filter="Equals([name], 'Acme NDA, renamed')")
        assert [item["id"] for item in found["items"]] == [record["id"]], found

    async def webhooks(self) -> None:
        url = "https://hooks.example/ironclad"
        webhook = await self.step("create_webhook", events=["workflow_launched"], target_url=url)
        listed = await self.step("list_webhooks")
        assert [item["id"] for item in listed["items"]] == [webhook["id"]], listed
        await self.step("delete_webhook", webhook_id=webhook["id"])

    async def people(self) -> None:
        found = await self.step("list_users", filter='userName eq "maya.ortiz@simulator.example"')
        user = await self.step("get_user", user_id=found["items"][0]["id"])
        assert user["userName"] == "maya.ortiz@simulator.example", user

    async def large_document(self) -> None:
        document = simulator.LargeDocument()
        result = await self.session.call("download_workflow_document", document.arguments())
        assert not result.is_error, result.structured
        resource = next(block.resource for block in result.content if block.type == "resource")
        received, original = base64.b64decode(resource.blob), document.content()
        assert len(original) >= 5_000_000 and received == original, f"{len(received)} of {len(original)} bytes"
        assert result.structured["sha256"] == hashlib.sha256(original).hexdigest(), result.structured
        self.answered.add("download_workflow_document")

    async def mistakes(self) -> None:
        wrong = await self.session.call("get_workflow", {"workflow": "IC-1"})
        assert wrong.is_error and wrong.structured["error"]["code"] == "invalid_arguments", wrong
        code = await self.session.protocol_error("list_unicorns", {})
        assert code == -32602, f"an unknown tool is answered with {code}"
