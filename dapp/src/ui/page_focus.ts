// The title of a page, and the focus when it is opened.
import { useEffect, useRef, type RefObject } from "react";

/** Focus goes to the heading of a page that was just opened, so that a screen reader tells where one is. */
export function usePageFocus(title: string): RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · API billing`;
    if (isFirstPage) isFirstPage = false;
    else heading.current?.focus({ preventScroll: true });
  }, [title]);
  return heading;
}

let isFirstPage = true;
