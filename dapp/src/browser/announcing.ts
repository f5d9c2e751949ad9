// What a screen reader is told. The region is in index's root from the start, since regions that come later are not heard.

type Listener = (text: string) => void;
const listeners = new Set<Listener>();

export const announce = (text: string): void => {
  for (const listener of listeners) listener(text);
};

export const onAnnounce = (listener: Listener): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
