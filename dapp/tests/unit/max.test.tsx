// @vitest-environment happy-dom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { useState } from "react";
import { afterEach, describe, expect, it } from "vitest";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import type { Field } from "../../src/actions/action";
import { GEN } from "../../src/domain/amounts";
import { FieldInput } from "../../src/ui/action_dialog";

afterEach(cleanup);

function Amount({ max }: { max: bigint }) {
  const [value, setValue] = useState("");
  const field: Field = { name: "amount", label: "Amount", kind: "gen", initial: "", max, priceWei: GEN / 50n, priceName: "maps" };
  return <FieldInput field={field} value={value} error="" onChange={setValue} onLeave={() => undefined} />;
}

const show = (max: bigint) => render(<QueryClientProvider client={new QueryClient()}><Amount max={max} /></QueryClientProvider>);

describe("an amount", () => {
  it("is filled with the most there is, to the wei, and says how many calls that is", async () => {
    show(3n * GEN + 7n);
    await userEvent.click(screen.getByRole("button", { name: "Max for Amount" }));
    expect(screen.getByLabelText("Amount")).toHaveProperty("value", "3.000000000000000007");
    expect(screen.getByText(/about 150 calls of maps/)).toBeTruthy();
  });
  it("of nothing has no such button", () => {
    show(0n);
    expect(screen.queryByRole("button")).toBeNull();
  });
});
