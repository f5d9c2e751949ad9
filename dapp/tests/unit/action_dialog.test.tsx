// @vitest-environment happy-dom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, configure, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FormReader, type Action, type Field } from "../../src/actions/action";
import { PlaceProvider } from "../../src/state/place";
import { ActionButton } from "../../src/ui/action_dialog";

configure({ asyncUtilTimeout: 5_000 }); // for a machine that has much else to do

const action = (field: Omit<Field, "name" | "label" | "initial">): Action => ({
  title: "Try", intro: "", submit: "Send", fields: [{ name: "it", label: "It", initial: "", ...field }],
  check: (values) => {
    const form = new FormReader(values);
    if (field.kind === "text") form.words("it", field.maxLength ?? 0, "Write something.");
    return form.result(() => ({ effects: [], call: { method: "m", args: [], valueWei: 0n, title: "Try" } }));
  },
});

async function open(made: Action): Promise<HTMLElement> {
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <PlaceProvider><ActionButton make={() => made}>Open</ActionButton></PlaceProvider>
    </QueryClientProvider>,
  );
  await userEvent.click(screen.getByRole("button", { name: "Open" }));
  return screen.findByLabelText("It");
}

beforeEach(() => {
  localStorage.clear();
  window.location.hash = "";
  vi.stubGlobal("fetch", vi.fn(async () => new Response("", { status: 404 })));
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("a field", () => {
  it("of several lines counts characters, and keeps what is too long to be shortened by hand", async () => {
    const field = await open(action({ kind: "text", maxLength: 5 }));
    await userEvent.type(field, "a{enter}😀bcd");
    expect([field.tagName, (field as HTMLTextAreaElement).value]).toEqual(["TEXTAREA", "a\n😀bcd"]);
    expect(screen.getByText("6 of 5 characters.")).toBeTruthy();
    await userEvent.tab();
    expect(screen.getByText("These are 6 characters; 5 are the most.")).toBeTruthy();
  });
  it("with a price says how many calls an amount pays", async () => {
    await userEvent.type(await open(action({ kind: "gen", priceWei: 8n * 10n ** 15n, priceName: "weather" })), "1");
    expect(screen.getByText(/about 125 calls of weather$/)).toBeTruthy();
  });
});
