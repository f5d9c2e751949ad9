// How an API is run: its plans, its meters, and handing it over.
import { limitText } from "../../actions/action";
import * as actions from "../../actions/operator";
import type { Api, Plan } from "../../domain/answers";
import { useSigner } from "../../state/signing";
import { ActionButton } from "../../ui/action_dialog";
import { Address, Gen, Section } from "../../ui/parts";
import { Records, type Column } from "../../ui/records";

export function Plans({ api, isOwn }: { api: Api; isOwn: boolean }) {
  const columns: Column<Plan>[] = [
    { id: "plan", title: "Plan", isText: true, by: ({ planName }) => planName, show: ({ planName }) => planName },
    { id: "price", title: "Price of a call", by: ({ costPerCallWei }) => costPerCallWei, show: ({ costPerCallWei }) => (costPerCallWei ? <Gen wei={costPerCallWei} /> : "free") },
    { id: "day", title: "A day", by: ({ dailyLimitCalls }) => dailyLimitCalls, show: ({ dailyLimitCalls }) => limitText(dailyLimitCalls, "day") },
    { id: "month", title: "A month", by: ({ monthlyLimitCalls }) => monthlyLimitCalls, show: ({ monthlyLimitCalls }) => limitText(monthlyLimitCalls, "month") },
    ...(isOwn ? [{
      id: "change", title: "", isText: true, by: () => 0,
      show: (plan: Plan) => <ActionButton make={() => actions.setPlan(api, plan)}>Change<span className="visually-hidden"> plan {plan.planName} of {api.apiName}</span></ActionButton>,
    }] : []),
  ];
  return (
    <Section title="Plans" actions={isOwn && <ActionButton make={() => actions.setPlan(api, null)}>Add a plan</ActionButton>}>
      <Records of="plans" rows={api.plans} columns={columns} keyOf={({ planName }) => planName} textOf={({ planName }) => planName} />
    </Section>
  );
}

export function Meters({ api, isOwn, inTheWay }: { api: Api; isOwn: boolean; inTheWay: string }) {
  const { own } = useSigner();
  return (
    <Section
      title="Meters and operator"
      actions={isOwn && (
        <>
          <ActionButton make={() => actions.allowMeter(api)}>Allow a meter</ActionButton>
          <ActionButton make={() => actions.handOver(api, own, inTheWay)}>Hand over</ActionButton>
        </>
      )}
    >
      {api.meters.length === 0 ? <p className="muted">No meter is allowed: only the operator reports usage.</p> : (
        <ul className="meters">
          {api.meters.map((meter) => (
            <li key={meter}>
              <span className="mono break">{meter}</span>
              {isOwn && <ActionButton className="button small quiet" make={() => actions.forbidMeter(api, meter)}>Forbid<span className="visually-hidden"> meter {meter} of {api.apiName}</span></ActionButton>}
            </li>
          ))}
        </ul>
      )}
      {api.proposedOperator && <p>Offered to <Address address={api.proposedOperator} />, who has not accepted yet.{inTheWay && ` It cannot be accepted now: ${inTheWay}`}</p>}
    </Section>
  );
}
