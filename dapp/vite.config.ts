import { promises as fs } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Only the page's own scripts run, on whatever host; it may ask any node. Not while developing, when Vite adds scripts. */
function contentSecurityPolicy(): Plugin {
  const policy = [
    "default-src 'self'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data:", "connect-src http: https:",
    "object-src 'none'", "base-uri 'none'", "form-action 'none'",
  ].join("; ");
  return {
    name: "content-security-policy",
    apply: "build",
    transformIndexHtml: () => [{ tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" }],
  };
}

const SMALLEST_BYTES = 1_400; // of what fits into one packet as it is, nobody gets less

/** Beside each file the same as `.br` and `.gz`, for hosts that send those. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle: async ({ dir = "" }, bundle) => {
      await Promise.all(Object.keys(bundle).map(async (name) => {
        const content = await fs.readFile(join(dir, name));
        if (content.length < SMALLEST_BYTES) return;
        await fs.writeFile(join(dir, `${name}.br`), await promisify(brotliCompress)(content));
        await fs.writeFile(join(dir, `${name}.gz`), await promisify(gzip)(content, { level: 9 }));
      }));
    },
  };
}

export default defineConfig({
  // Relative, so that the built files work under any path of any host.
  base: "./",
  plugins: [react(), contentSecurityPolicy(), compressed()],
  build: {
    target: "es2022",
    // genlayer-js with its ABIs is one chunk of its own, loaded with the first transaction.
    chunkSizeWarningLimit: 800,
  },
  test: {
    // Files that need a document say so in their first line: making one takes longer than most tests.
    environment: "node",
    include: ["tests/unit/**/*.test.{ts,tsx}"],
    pool: "threads",
    isolate: false,
    restoreMocks: true,
  },
});
