// The title of a page, and the focus when it is opened.
import { useEffect, useLayoutEffect, useRef, type RefObject } from "react";

/** Focus goes to the heading of a page that was just opened, so that a screen reader tells where one is. */
export function usePageFocus(title: string): RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => { document.title = titled(title); }, [title]);
  useEffect(() => {
    if (isFirstPage) isFirstPage = false;
    else heading.current?.focus({ preventScroll: true });
  }, [title]);
  return heading;
}

/** A longer title, by a part of the page that knows more: printed files are named after it. Set after that of the page. */
export function usePageTitle(title: string): void {
  useEffect(() => { document.title = titled(title); }, [title]);
}

const titled = (title: string): string => `${title} · API billing`;

let isFirstPage = true;
