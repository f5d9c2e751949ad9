// What a consumer should know now, and what to do about it: from one report, without asking the node anything more.
import { exactGen } from "./amounts";
import type { ApiUsage, UsageReport } from "./answers";
import { duration, momentText } from "./time";

export type Remedy = "top_up" | "subscribe" | "release_hold";

export interface Advice {
  /** The same as long as the situation is the same. */
  key: string;
  severity: "stop" | "warn" | "info";
  title: string;
  text: string;
  apiName: string;
  remedy: Remedy | null;
  /** What the button says. */
  button: string;
}

const ORDER = { stop: 0, warn: 1, info: 2 };
const gen = (wei: bigint): string => `${exactGen(wei)} GEN`;

/** The most urgent first. `now` is the chain's time. */
export function adviceFor(report: UsageReport, now: number): Advice[] {
  const found = report.apis.flatMap((line) => ofLine(line, report, now));
  if (report.lowCredit) {
    found.push({
      key: "low_credit", severity: "warn", apiName: "", remedy: "top_up", button: "Top up",
      title: "Credit is low",
      text: `${gen(report.creditBalanceWei)} are free and ${gen(report.heldWei)} on hold: the alert level is reached.`,
    });
  }
  return found.sort((a, b) => ORDER[a.severity] - ORDER[b.severity]);
}

function ofLine(line: ApiUsage, report: UsageReport, now: number): Advice[] {
  const found: Advice[] = [];
  const add = (severity: Advice["severity"], key: string, title: string, text: string, remedy: Remedy | null = null, button = ""): void => {
    found.push({ key: `${key}:${line.apiName}`, severity, title, text, apiName: line.apiName, remedy, button });
  };
  if (line.holdWei > 0n && now >= line.holdExpiresAt) {
    add("info", "hold_ended", `The hold for ${line.apiName} has ended`,
      `${gen(line.holdWei)} are still set aside. Release them to use or withdraw them.`, "release_hold", "Release hold");
  }
  if (!line.subscribed) return found;
  const reset = `Calls are possible again in ${duration(report.resetsAt - now)}, at midnight UTC`;
  if (!line.active) {
    add("info", "paused", `${line.apiName} is paused`, "The operator has paused it. No call is billed until it is resumed.");
  } else if (line.costPerCallWei > line.acceptedPriceWei) {
    add("stop", "price", `The price of ${line.apiName} rose`,
      `${gen(line.acceptedPriceWei)} a call were accepted; it costs ${gen(line.costPerCallWei)} now. Calls are refused until the new price is accepted.`,
      "subscribe", "Accept the new price");
  } else if (line.callsLeftToday === 0n) {
    const isMonth = line.apiMonthlyLimitCalls > 0n && line.callsMonth >= line.apiMonthlyLimitCalls;
    add("stop", "limit", `All calls of ${line.apiName} are used up`,
      isMonth
        ? `The plan allows no more this month. Calls are possible again on ${momentText(report.monthResetsAt)}, or with a larger plan.`
        : `The plan allows no more today. ${reset}, or with a larger plan.`,
      "subscribe", "Choose another plan");
  } else if (line.costPerCallWei > line.spendLeftTodayWei) {
    add("stop", "cap", `The daily cap for ${line.apiName} is reached`,
      `${gen(line.spendLeftTodayWei)} are left of ${gen(line.consumerMaxDailySpendWei)}, less than one call costs. ${reset}, or with a higher cap.`,
      "subscribe", "Raise the cap");
  } else if (line.costPerCallWei > report.creditBalanceWei + line.holdWei) {
    add("stop", "credit", `Credit does not cover a call of ${line.apiName}`,
      `A call costs ${gen(line.costPerCallWei)}; ${gen(report.creditBalanceWei)} are free.`, "top_up", "Top up");
  }
  return found;
}
