// The modules as browsers get them, in any Node: one without package.json takes .js for CommonJS.
import { readFile } from "node:fs/promises";

const FOLDER = new URL("../../notifications/static/notifications/", import.meta.url);

export async function load(name) {
  const source = await readFile(new URL(`${name}.js`, FOLDER), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}
