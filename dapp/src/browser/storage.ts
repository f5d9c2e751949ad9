// What the browser keeps, where it allows that. Where it does not (blocked, full), things last as long as the page.

export interface Kept {
  get(name: string): string | null;
  set(name: string, value: string): void;
  remove(name: string): void;
  names(prefix: string): string[];
}

class BrowserStorage implements Kept {
  private readonly memory = new Map<string, string>();

  /** ``area`` throws where the browser blocks it. */
  constructor(private readonly area: () => Storage) {}

  get(name: string): string | null {
    return this.memory.get(name) ?? this.attempt(() => this.area().getItem(name), null);
  }

  set(name: string, value: string): void {
    const isKept = this.attempt(() => {
      this.area().setItem(name, value);
      return true;
    }, false);
    if (isKept) this.memory.delete(name);
    else this.memory.set(name, value);
  }

  remove(name: string): void {
    this.memory.delete(name);
    this.attempt(() => this.area().removeItem(name), undefined);
  }

  names(prefix: string): string[] {
    const kept = this.attempt(() => Array.from({ length: this.area().length }, (_, i) => this.area().key(i) ?? ""), []);
    return [...new Set([...kept, ...this.memory.keys()])].filter((name) => name.startsWith(prefix));
  }

  private attempt<T>(work: () => T, otherwise: T): T {
    try {
      return work();
    } catch {
      return otherwise;
    }
  }
}

export const kept: Kept = new BrowserStorage(() => localStorage);
/** Of this tab alone; a reload keeps it. */
export const keptInTab: Kept = new BrowserStorage(() => sessionStorage);
