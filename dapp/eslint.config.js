import { defineConfig } from "eslint/config";
import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["dist/"] },
  // What it finds is mended: comments switch nothing off.
  { linterOptions: { noInlineConfig: true } },
  { files: ["**/*.{js,mjs}"], extends: [tseslint.configs.recommended] },
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.recommendedTypeChecked, jsxA11y.flatConfigs.strict, reactHooks.configs.flat.recommended],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // What the contexts and props hold are closures, however an interface writes them.
      "@typescript-eslint/unbound-method": "off",
      // What a node says is unknown, and becomes text whatever it is.
      "@typescript-eslint/no-base-to-string": "off",
      // It calls assertions unnecessary that the compiler needs, as in `found ?? (first as Network)`.
      "@typescript-eslint/no-unnecessary-type-assertion": "off",
      // A record's type has a name of its own, for what the compiler says.
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "with-single-extends" }],
      // A region that scrolls must be reached by keyboard.
      "jsx-a11y/no-noninteractive-tabindex": ["error", { roles: ["region", "tabpanel"] }],
    },
  },
  {
    files: ["tests/unit/**"],
    rules: {
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
    },
  },
);
