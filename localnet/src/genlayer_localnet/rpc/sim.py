"""``sim_…`` and ``ping``: what only a simulator has; faucet, time, snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from genlayer_localnet.arguments import as_time
from genlayer_localnet.chain.runs import datetime_text
from genlayer_localnet.errors import InvalidArgument
from genlayer_localnet.rpc import contract_tools, reading, submission
from genlayer_localnet.rpc.consensus_calls import DATA_ADDRESS, MAIN_ABI, MAIN_ABI_WITH_FEES, MAIN_ADDRESS
from genlayer_localnet.rpc.errors import invalid_params, not_found, refused
from genlayer_localnet.rpc.fee_json import config_json, policy_of
from genlayer_localnet.rpc.node import Node
from genlayer_localnet.rpc.parameters import address, code_of, count, mapping, quantity, shown, transaction_id
from genlayer_localnet.rpc.protocol import encoded, method
from genlayer_localnet.rpc.receipt_json import address_text
from genlayer_localnet.rpc.transaction_json import STATUS_CODES, STATUS_NAMES, transaction_json

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_MAX_WINDOW_SECONDS = 10 * 365 * 86_400
_MAIN_CONTRACT, _MAIN_CONTRACT_WITH_FEES = (
    encoded({"address": address_text(MAIN_ADDRESS), "abi": abi, "bytecode": "0x"})
    for abi in (MAIN_ABI, MAIN_ABI_WITH_FEES)
)
"""genlayer-py asks for it before every write."""


class SimMethods:
    def __init__(self, node: Node) -> None:
        self._node = node

    @method("ping", needs_chain=False)
    def ping(self) -> str:
        return "OK"

    # --- accounts and transactions ---

    @method("sim_fundAccount")
    def fund_account(self, account_address: Any, amount: Any) -> str:
        return self._node.settle("faucet", address(account_address), value=quantity(amount, "amount"))

    @method("sim_getBalance", only_reads=True)
    def balance(self, account_address: Any) -> int:
        return self._node.world.balance(address(account_address))

    @method("sim_call", only_reads=True)
    def call(self, params: Any) -> dict[str, Any]:
        """The receipt of a simulated write, with the state it would write."""
        return reading.receipt(self._node, mapping(params, "params"))

    @method("sim_cancelTransaction")
    def cancel_transaction(self, transaction_hash: Any, signature: Any = None, admin_key: Any = None) -> dict[str, Any]:
        """Anybody may cancel on a localnet; the signature is not looked at, as in Studio's local mode."""
        transaction = self._node.transaction(transaction_id(transaction_hash))
        submission.cancel(self._node, transaction)
        return {"transaction_hash": transaction.id, "status": "CANCELED"}

    @method("sim_getTransactionsForAddress", only_reads=True)
    def transactions_for_address(self, account_address: Any, filter: Any = None) -> list[dict[str, Any]]:
        """``filter``: ``all`` (default), ``to`` or ``from``."""
        wanted = address(account_address)
        if filter not in (None, "all", "to", "from"):
            raise invalid_params(f"filter is all, to or from, not {shown(filter)}")
        return [
            transaction_json(self._node, transaction)
            for transaction in self._node.world.transactions.values()
            if (transaction.sender == wanted and filter != "to") or (transaction.to == wanted and filter != "from")
        ]

    @method("sim_mine")
    def mine(self) -> int:
        """Run what waits, where transactions do not run on arrival. Gives the number of decided transactions."""
        self._node.chain.run_pending()
        return len(self._node.world.blocks)

    @method("sim_getConsensusContract", needs_chain=False)
    def consensus_contract(self, contract_name: Any) -> bytes | dict[str, Any]:
        if contract_name == "ConsensusMain":
            return _MAIN_CONTRACT if self._node.chain.settings.fees is None else _MAIN_CONTRACT_WITH_FEES
        if contract_name == "ConsensusData":
            return {"address": address_text(DATA_ADDRESS), "abi": [], "bytecode": "0x"}
        raise not_found(f"no consensus contract {shown(contract_name)}: there are ConsensusMain and ConsensusData")

    @method("sim_getFeeConfig", needs_chain=False)
    def fee_config(self) -> dict[str, Any]:
        return config_json(self._node.chain.settings.fees)

    @method("sim_setFeeConfig")
    def set_fee_config(self, config: Any) -> dict[str, Any]:
        """Change the prices that are named, have no fees any more, or have the last prices again."""
        enabled = self._node.chain.settings.fees is not None
        self._node.set_fees(policy_of(config, self._node.last_prices, enabled=enabled))
        return self.fee_config()

    @method("sim_estimateTransactionFees", only_reads=True)
    def estimate_fees(self, params: Any) -> dict[str, Any]:
        """What to deposit for a call or deploy, with all messages that it leads to."""
        return reading.estimate(self._node, mapping(params, "params"))

    @method("sim_updateTransactionStatus")
    def update_status(self, transaction_hash: Any, status: Any) -> dict[str, Any]:
        """Make a decided transaction final, or cancel one that waits; nothing else can be forced."""
        transaction = self._node.transaction(transaction_id(transaction_hash))
        if status not in STATUS_CODES:
            raise invalid_params(f"status is one of {', '.join(STATUS_CODES)}, not {shown(status)}")
        if status != STATUS_NAMES[transaction.status]:
            if status == "FINALIZED" and transaction in self._node.world.unfinalized:
                self._node.chain.finalize(transaction)
            elif status == "CANCELED":
                submission.cancel(self._node, transaction)
            else:
                raise refused(f"a transaction that is {STATUS_NAMES[transaction.status]} cannot be made {status}")
        return {"transaction_hash": transaction.id, "status": STATUS_NAMES[transaction.status]}

    # --- code ---

    @method("sim_lintContract")
    def lint_contract(self, source_code: Any, filename: Any = None) -> dict[str, Any]:
        return contract_tools.lint(self._node, code_of(source_code))

    @method("sim_upgradeContractCode")
    def upgrade_contract_code(self, contract_address: Any, new_code: Any, signature: Any = None) -> dict[str, Any]:
        """Anybody may upgrade on a localnet; the signature is not looked at, as in Studio's local mode."""
        upgraded = contract_tools.upgrade(self._node, address(contract_address), code_of(new_code))
        return {"transaction_hash": upgraded, "message": "the contract has its new code"}

    # --- time ---

    @method("sim_increaseTime", "evm_increaseTime")
    def increase_time(self, seconds: Any) -> dict[str, Any]:
        """Move the clock forward; what becomes final on the way becomes so at its time."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
            raise invalid_params(f"seconds: a number is wanted, not {shown(seconds)}")
        try:
            moment = self._node.world.now + timedelta(seconds=float(seconds))
        except (OverflowError, ValueError):
            raise invalid_params(f"seconds: {shown(seconds)} is no number, or too large") from None
        if moment < self._node.world.now:
            raise invalid_params("the clock goes back with sim_setTime only")
        return self._set_time(moment)

    @method("sim_setTime")
    def set_time(self, time: Any) -> dict[str, Any]:
        """Set the clock to an ISO text or to seconds since 1970; it goes on from there."""
        try:
            if isinstance(time, int | float) and not isinstance(time, bool):
                return self._set_time(datetime.fromtimestamp(time, UTC))
            return self._set_time(as_time(time))
        except (InvalidArgument, OverflowError, ValueError, OSError) as error:
            raise invalid_params(f"time: {error}") from None

    @method("sim_getTime")
    def get_time(self) -> dict[str, Any]:
        now = self._node.world.now
        return {"time": datetime_text(now), "timestamp": now.timestamp()}

    def _set_time(self, moment: datetime) -> dict[str, Any]:
        if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < _LATEST:
            raise invalid_params("the clock goes from the year 1970 to 8999")
        self._node.set_time(moment)
        return self.get_time()

    @method("sim_setFinalityWindowTime")
    def set_finality_window(self, time: Any) -> int:
        """Seconds from acceptance to finality; also for what is not final yet."""
        seconds = count(time, "time")
        if seconds > _MAX_WINDOW_SECONDS:
            raise invalid_params("the finality window is ten years at most")
        self._node.set_finality_window(seconds)
        return seconds

    @method("sim_getFinalityWindowTime")
    def get_finality_window(self) -> int | float:
        seconds = self._node.chain.settings.finality_window.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds

    # --- snapshots ---

    @method("sim_createSnapshot")
    def create_snapshot(self) -> int:
        return self._node.snapshot()

    @method("sim_restoreSnapshot")
    def restore_snapshot(self, snapshot_id: Any) -> bool:
        return self._node.restore(count(snapshot_id, "snapshot id"))

    @method("sim_deleteAllSnapshots")
    def delete_all_snapshots(self) -> dict[str, Any]:
        return {"deleted_count": self._node.delete_snapshots()}

    @method("sim_clearDbTables")
    def clear_tables(self, tables: Any) -> None:
        """``current_state`` (contracts, balances) and ``transactions`` can only be emptied together here."""
        if not isinstance(tables, list) or not set(map(str, tables)) <= {"current_state", "transactions"}:
            raise invalid_params("tables are current_state and transactions")
        if len(set(tables)) == 1:
            raise refused("a state without its transactions would be inconsistent: clear both tables")
        if tables:
            self._node.clear()
