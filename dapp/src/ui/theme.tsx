// Light, dark, or as the system has it.
import { useEffect, useState } from "react";
import { kept } from "../browser/storage";
import { Icon } from "./icons";

const NAME = "api-billing:theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const ICONS = { system: "half", light: "sun", dark: "moon" } as const;

const chosen = (): Theme => THEMES.find((theme) => theme === kept.get(NAME)) ?? "system";

export function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(chosen);
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    kept.set(NAME, theme);
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  return (
    <button type="button" className="icon-button" onClick={() => setTheme(next)} aria-label={`Colours: ${theme}. Change to ${next}`} title={`Colours: ${theme}`}>
      <Icon name={ICONS[theme]} />
    </button>
  );
}
