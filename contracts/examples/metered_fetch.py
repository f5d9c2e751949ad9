# v0.2.16
# { "Depends": "py-genlayer:1jb45aa8ynh2a9c9xn3b7qqh8sm5q93hwfp7jqmwsfhh8jpz09h6" }

"""A consumer contract that pays per call and fetches the API only after it was billed.

Deploy it, let its owner call `subscribe`, give it credit with `top_up_for(<this contract>, amount)` of the billing
contract, and call `fetch`. The billing contract answers with a call of its own: `on_call_billed` or `on_call_denied`.
An answer may come twice, and `on_call_billed` after a denial (messages are sent again after an appeal), so a request
takes the first page and no more. An answer may also be lost: this contract's callback fails, or its nodes do not agree.
Then `retry` asks again under the same id, which is billed once while it is among the last 64; or the owner gives up.
Leader and validators make one HTTP request each; all carry the receipt id, so that the API can serve them for the one
call that was billed.
"""

from dataclasses import dataclass

from genlayer import *

MAX_BODY = 4_096


@allow_storage
@dataclass
class Request:
    url: str
    status: str  # "open", "fetched", "failed", "denied", "given_up"
    detail: str  # the body, the error, or the code of the denial
    receipt_id: str


class MeteredFetch(gl.Contract):
    owner: Address
    billing: Address
    api_name: str
    requests: TreeMap[str, Request]
    requests_made: u64

    def __init__(self, billing: str, api_name: str):
        self.owner = gl.message.sender_address
        self.billing = billing if isinstance(billing, Address) else Address(billing)
        self.api_name = api_name

    # ---- owner ----

    @gl.public.write
    def subscribe(self, max_daily_spend_wei: int, max_price_wei: int = 0) -> None:
        """Subscribe this contract to its API, or accept a new price; up to `max_price_wei`, unless that is 0."""
        self._require_owner()
        billing = gl.get_contract_at(self.billing).emit(on="finalized")
        billing.subscribe(self.api_name, max_daily_spend_wei, 0, "standard", max_price_wei)

    @gl.public.write
    def fetch(self, url: str) -> str:
        """Ask for one billed call; returns the request id, under which `get_request` shows what came of it."""
        self._require_owner()
        self.requests_made += 1
        request_id = f"fetch-{self.requests_made}"
        self.requests[request_id] = Request(url, "open", "", "")
        self._request_call(request_id)
        return request_id

    @gl.public.write
    def retry(self, request_id: str) -> None:
        """Ask again for a request that has no page, whatever became of it; what was billed is not billed again."""
        self._require_owner()
        self._without_page(request_id).status = "open"
        self._request_call(request_id)

    @gl.public.write
    def give_up(self, request_id: str) -> None:
        """Take no answer any more. It may have been billed, or be billed yet if the question is on its way."""
        self._require_owner()
        self._without_page(request_id).status = "given_up"

    @gl.public.write
    def reclaim_credit(self, amount: int) -> None:
        """Ask the billing contract to pay credit back to this contract."""
        self._require_owner()
        gl.get_contract_at(self.billing).emit(on="finalized").withdraw_credit(amount)

    @gl.public.write
    def pay_owner(self) -> None:
        """Send everything this contract holds to its owner."""
        self._require_owner()
        if self.balance > 0:
            PlainAccount(self.owner).emit_transfer(value=self.balance)

    # ---- billing contract ----

    @gl.public.write
    def on_call_billed(self, request_id: str, receipt: dict) -> None:
        """Fetch the URL of a request that was billed, also after a denial."""
        request = self._awaited(request_id, ("open", "denied"))
        if request is None:
            return
        request.receipt_id = receipt["receipt_id"]
        separator = "&" if "?" in request.url else "?"
        url = f"{request.url}{separator}receipt={receipt['receipt_id']}"

        def get() -> dict:
            try:
                response = gl.nondet.web.get(url)
            except Exception:  # of which kind depends on the line of GenVM
                return {"status": 0, "body": ""}
            return {"status": response.status, "body": (response.body or b"").decode(errors="replace")[:MAX_BODY]}

        page = gl.eq_principle.strict_eq(get)
        status = page["status"]
        request.status = "fetched" if status == 200 else "failed"
        request.detail = page["body"] if status == 200 else f"HTTP {status}" if status else "no response"

    @gl.public.write
    def on_call_denied(self, request_id: str, code: str) -> None:
        """Record why the billing contract refused the call."""
        request = self._awaited(request_id, ("open",))
        if request is not None:
            request.status, request.detail = "denied", code

    @gl.public.write.payable
    def receive_credit(self) -> None:
        """Take credit that the billing contract pays back."""

    # ---- views ----

    @gl.public.view
    def get_request(self, request_id: str) -> dict:
        """A request as it stands: url, status, detail, receipt_id."""
        request = self._request(request_id)
        return {
            "url": request.url,
            "status": request.status,
            "detail": request.detail,
            "receipt_id": request.receipt_id,
        }

    # ---- private ----

    def _require_owner(self) -> None:
        if gl.message.sender_address != self.owner:
            raise gl.vm.UserError("[EXPECTED] not_owner: caller is not the owner of this contract")

    def _request_call(self, request_id: str) -> None:
        gl.get_contract_at(self.billing).emit(on="accepted").request_call(self.api_name, request_id)

    def _request(self, request_id: str) -> Request:
        request = self.requests.get(request_id)
        if request is None:
            raise gl.vm.UserError("[EXPECTED] no_such_request: there is no request with this id")
        return request

    def _without_page(self, request_id: str) -> Request:
        request = self._request(request_id)
        if request.status == "fetched":
            raise gl.vm.UserError("[EXPECTED] already_fetched: the request has its page")
        return request

    def _awaited(self, request_id: str, statuses: tuple[str, ...]) -> Request | None:
        if gl.message.sender_address != self.billing:
            raise gl.vm.UserError("[EXPECTED] not_billing: only the billing contract may answer")
        request = self.requests.get(request_id)
        return request if request is not None and request.status in statuses else None


@gl.evm.contract_interface
class PlainAccount:
    class View:
        pass

    class Write:
        pass
