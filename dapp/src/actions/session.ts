// Sessions: holds of which an API bills what the consumer signed, and no more.
import type { Api, ApiDetails, ApiUsage, Session, UsageReport } from "../domain/answers";
import { editableGen } from "../domain/amounts";
import { shortAddress } from "../domain/names";
import { DAY_SECONDS, momentText, toFieldValue } from "../domain/time";
import { FormReader, gen, type Action, type Checked, type Field } from "./action";
import { holdEnd, isHoldInForce, planText, priceBound } from "./consumer";

const DAYS = 7;
const ENTER_MORE = "Enter more than 0.";
const atMidnight = (now: number, days: number): number => (Math.floor(now / DAY_SECONDS) + days) * DAY_SECONDS;

/** Opens a session, or adds to the one that is in force. ``own``: who signs the transaction. */
export function openSession(api: Api, report: UsageReport | undefined, own: string, now: number): Action {
  const line = report?.apis.find((each) => each.apiName === api.apiName);
  const plan = api.plans.find((each) => each.planName === line?.planName) ?? api.plans[0];
  const inForce = line !== undefined && isHoldInForce(line, now);
  const earliest = inForce ? line.holdExpiresAt : 0;
  const isSubscribed = line?.subscribed === true;
  const freeWei = (report?.creditBalanceWei ?? 0n) + (inForce ? 0n : (line?.holdWei ?? 0n));
  const cap = line && line.consumerMaxDailySpendWei > 0n ? line.consumerMaxDailySpendWei : (plan?.costPerCallWei ?? 0n) * 100n;
  const fields: Field[] = [
    {
      name: "amount", label: inForce ? "Add to the session" : "Amount", kind: "gen", initial: "", max: freeWei,
      hint: inForce ? `${gen(line.holdWei)} are in it; leave empty to prolong only.` : "The most that can be billed in this session.",
      ...(isSubscribed || api.plans.length === 1 ? { priceWei: plan?.costPerCallWei ?? 0n } : {}),
    },
    { name: "deposit", label: "Deposit with it", kind: "gen", initial: "", max: "balance", hint: `${gen(freeWei)} are free; what is missing comes from your account.` },
    { name: "until", label: "Ends (UTC)", kind: "moment", initial: toFieldValue(earliest || atMidnight(now, DAYS)), hint: "Nobody but the operator can end it earlier." },
    ...(inForce ? [] : [{
      name: "signer", label: "Key that signs", kind: "address", initial: own, hint: "Your own account, or a key made for this session.",
    } satisfies Field]),
    ...(isSubscribed ? [] : [
      { name: "plan", label: "Plan", kind: "choice", initial: plan?.planName ?? "", choices: api.plans.map((each) => ({ value: each.planName, label: planText(each) })) },
      { name: "cap", label: "Daily cap", kind: "gen", initial: cap > 0n ? editableGen(cap) : "", hint: "Calls beyond it are refused, also in a session." },
    ] satisfies Field[]),
  ];
  return {
    title: inForce ? `Add to the session with ${api.apiName}` : `Open a session with ${api.apiName}`,
    intro: "Credit is set aside for one API, and it can bill of that what you sign in vouchers, and no more.",
    submit: inForce ? "Add to session" : "Open session",
    fields,
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", inForce ? 0n : 1n, ENTER_MORE, inForce ? 0n : undefined);
      const deposit = form.gen("deposit", 0n, "", 0n);
      const end = holdEnd(form, now, earliest);
      const signer = inForce ? line.signer : form.address("signer");
      const chosen = isSubscribed ? plan : api.plans.find((each) => each.planName === form.text("plan"));
      const max = isSubscribed ? line.consumerMaxDailySpendWei : form.gen("cap", 1n, ENTER_MORE);
      if (!chosen) form.fail("plan", "Choose a plan.");
      if (amount > freeWei + deposit) form.fail("deposit", `Deposit at least ${gen(amount - freeWei)}: ${gen(freeWei)} are free.`);
      if (inForce && amount === 0n && end === earliest) form.fail("amount", "Enter an amount, or a later end.");
      return form.result(() => {
        const plan = chosen as Api["plans"][number];
        const holdWei = amount + (inForce ? line.holdWei : 0n);
        return {
          effects: [
            ...(isSubscribed ? [] : [`You subscribe to ${api.apiName} (${plan.planName}) for ${plan.costPerCallWei ? `${gen(plan.costPerCallWei)} a call` : "nothing"}, at most ${gen(max)} a day.`]),
            ...(deposit > 0n ? [`${gen(deposit)} leave your account and become credit.`] : []),
            ...(amount > 0n ? [`${gen(amount)} of your credit are set aside: ${gen(holdWei)} in the session.`] : []),
            `Until ${momentText(end)} you cannot withdraw ${amount > 0n ? "them" : `what is in the session, ${gen(holdWei)}`}. What is not billed becomes free credit again.`,
            `${api.apiName} can bill only what ${signer === own ? "you sign" : `the key ${shortAddress(signer)} signs`}. Your free credit stays yours.`,
            ...(!inForce && line?.signer === signer
              ? ["This key signed for an earlier session. What it signed then and was not billed can be billed now; a new key rules that out."] : []),
            ...(isSubscribed && plan.costPerCallWei > line.acceptedPriceWei
              ? [`${api.apiName} costs ${gen(plan.costPerCallWei)} a call now, you have accepted ${gen(line.acceptedPriceWei)}: accept the new price first, or nothing is served.`] : []),
          ],
          call: {
            method: "open_session", valueWei: deposit,
            args: [api.apiName, max, amount, end, signer, plan.planName, priceBound(plan)],
            title: inForce ? `${amount > 0n ? `Add ${gen(amount)} to` : "Prolong"} the session with ${api.apiName}` : `Open a session with ${api.apiName}: ${gen(amount)}`,
          },
        };
      });
    },
  };
}

/** When no hold is in force: the signer goes, and a plain hold comes. */
export function billWithoutVouchers(line: ApiUsage, creditWei: bigint, now: number): Action {
  const freeWei = creditWei + line.holdWei;
  return {
    title: `Be billed by ${line.apiName} without vouchers`,
    intro: "A plain hold takes the place of the session: the API bills what it says was used.",
    submit: "Place plain hold",
    fields: [
      { name: "amount", label: "Amount", kind: "gen", initial: "", max: freeWei, hint: `${gen(freeWei)} are free.` },
      { name: "until", label: "Ends (UTC)", kind: "moment", initial: toFieldValue(atMidnight(now, DAYS)) },
    ],
    check(values) {
      const form = new FormReader(values);
      const amount = form.gen("amount", 1n, ENTER_MORE);
      const end = holdEnd(form, now, 0);
      if (amount > freeWei) form.fail("amount", `Only ${gen(freeWei)} are free.`);
      return form.result(() => ({
        effects: [
          `Vouchers of ${shortAddress(line.signer)} bill nothing any more, unless you open a session with the same key again.`,
          `${gen(amount)} of your credit are set aside for ${line.apiName} until ${momentText(end)}; then its operator can bill your free credit, too, within your daily cap.`,
        ],
        call: { method: "place_hold", args: [line.apiName, amount, end, "plain"], valueWei: 0n, title: `Hold ${gen(amount)} for ${line.apiName}, without vouchers` },
      }));
    },
  };
}

/** What a voucher is signed for. */
export interface Signable {
  api: ApiDetails;
  /** With the one channel that it is for. */
  session: Session;
  /** The most that was signed of the channel in this browser. */
  keptWei: bigint;
  /** What other channels can still be billed of the hold, as far as is known here. */
  othersWei: bigint;
  inForce: boolean;
  /** Whether the session can be billed of the channel: of so many it can. */
  hasRoom: boolean;
  /** Of a call, as accepted. */
  priceWei: bigint;
}

export const voucherField = (signable: Signable): Field => {
  const { signedWei, billedWei, mostWei } = sumsOf(signable);
  return {
    name: "amount", label: "Up to, in all", kind: "gen", initial: "", max: mostWei, priceWei: signable.priceWei, priceName: signable.api.apiName,
    hint: `On this channel ${gen(billedWei)} are billed so far, and ${gen(signedWei)} known to be signed; the hold pays up to ${gen(mostWei)}.`,
  };
};

/** What is wrong with a sum, or what signing it means; there is no call, as nothing is sent. */
export function checkVoucher(signable: Signable, values: Readonly<Record<string, string>>): Omit<Checked, "call"> & { cumulativeWei: bigint } {
  const { signedWei, billedWei, mostWei } = sumsOf(signable);
  const { api, othersWei } = signable;
  const form = new FormReader(values);
  const sum = form.gen("amount", 1n, ENTER_MORE);
  if (!form.errors["amount"] && sum <= signedWei) form.fail("amount", `${gen(signedWei)} are signed already: a voucher is for all since the channel began, so enter more.`);
  if (sum > mostWei) form.fail("amount", `The hold pays up to ${gen(mostWei)} on this channel${othersWei > 0n ? `, as ${gen(othersWei)} of it are signed on others` : ""}. Add to the session first.`);
  const { errors } = form;
  return {
    errors, cumulativeWei: sum,
    effects: Object.keys(errors).length ? [] : [
      `${api.apiName} may bill up to ${gen(sum)} in all on this channel: ${gen(sum - billedWei)} more than is billed so far.`,
      "It is paid from your hold, never from your free credit. It cannot be taken back.",
      "Nothing is sent, and there is no fee: you give the voucher to the API yourself.",
    ],
  };
}

/** ``mostWei``: up to where the hold pays, in all. */
export function sumsOf({ session: { holdWei, channels: [channel] }, keptWei, othersWei }: Signable): { signedWei: bigint; billedWei: bigint; mostWei: bigint } {
  const { signedWei = 0n, billedWei = 0n } = channel ?? {};
  return { signedWei: keptWei > signedWei ? keptWei : signedWei, billedWei, mostWei: billedWei + (holdWei > othersWei ? holdWei - othersWei : 0n) };
}
