// A table as a file.
import type { ReactNode } from "react";

/** `make` is asked when the button is pressed. `disabled`: not all of it is read. */
export function CsvButton({ name, make, disabled = false, children = "CSV" }: { name: string; make(): string; disabled?: boolean; children?: ReactNode }) {
  const save = (): void => {
    const url = URL.createObjectURL(new Blob([make()], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name}.csv`;
    link.click();
    // Not at once: the browser has yet to read it.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return <button type="button" className="button small" disabled={disabled} onClick={save}>{children}<span className="visually-hidden"> of {name}</span></button>;
}
