// All stories, told in one browser: each file in stories/ has those of one subject.
import { readdirSync } from "node:fs";
import { tellAll } from "./stage.mjs";

for (const file of readdirSync(new URL("stories/", import.meta.url)).sort()) await import(`./stories/${file}`);
await tellAll();
