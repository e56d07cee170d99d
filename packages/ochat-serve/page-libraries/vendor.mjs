// Writes the page's libraries into the package, from the versions and hashes of package-lock.json.
//
// Run it as `node vendor.mjs` after a change of package.json or of a file in entry/; it needs the
// npm registry once, and the page never does. What it writes is committed, with a manifest of
// versions and hashes that a test holds to the lock file. axe-core is for tests only and goes there.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, "../src/ochat_serve/page");
const modules = join(here, "node_modules");

const read = (path) => readFileSync(path, "utf8");
const lock = () => JSON.parse(read(join(here, "package-lock.json"))).packages;

/** All files below a folder, as sorted paths from there. */
function walk(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

function licence(name) {
  const folder = join(modules, name);
  const file = readdirSync(folder).find((each) => /^licen[cs]e(\.\w+)?$/i.test(each));
  if (!file) throw new Error(`${name} brings no licence file; look what its terms are`);
  return read(join(folder, file)).trim();
}

/** Write LICENSES.txt and manifest.json beside the files of a folder. */
function seal(folder, names) {
  const locked = names.map((name) => [name, lock()[`node_modules/${name}`]]);
  writeFileSync(join(folder, "LICENSES.txt"), locked
    .map(([name, { version, license }]) => `${name} ${version} (${license})\n\n${licence(name)}\n`)
    .join(`\n${"-".repeat(80)}\n\n`));
  const libraries = Object.fromEntries(
    locked.map(([name, { version, integrity }]) => [name, { version, integrity }]));
  const files = Object.fromEntries(walk(folder).map((path) => [
    path, createHash("sha256").update(readFileSync(join(folder, path))).digest("hex")]));
  writeFileSync(join(folder, "manifest.json"), `${JSON.stringify({ libraries, files }, null, 2)}\n`);
}

function empty(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}

async function bundle(target) {
  const { build } = await import("esbuild");
  for (const name of readdirSync(join(here, "entry"))) {
    await build({
      entryPoints: [join(here, "entry", name)], outfile: join(target, name), absWorkingDir: here,
      bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "inline",
    });
  }
  // Every browser that knows ES modules knows woff2: the older two forms of each font stay out.
  const css = read(join(modules, "katex/dist/katex.min.css"))
    .replace(/,url\([^)]*\.(woff|ttf)\) format\("\w+"\)/g, "");
  writeFileSync(join(target, "katex.css"), css);
  for (const font of readdirSync(join(modules, "katex/dist/fonts"))) {
    if (font.endsWith(".woff2")) {
      cpSync(join(modules, "katex/dist/fonts", font), join(target, "fonts", font));
    }
  }
}

function weigh() {
  const rows = walk(page).map((path) => [path, readFileSync(join(page, path))])
    .map(([path, bytes]) => [path, bytes.length, gzipSync(bytes, { level: 9 }).length]);
  const served = rows.filter(([path]) => !/(\.txt|manifest\.json)$/.test(path));
  const total = (part) => part.reduce(([, a, b], [, c, d]) => ["", a + c, b + d], ["", 0, 0]);
  const show = ([path, raw, packed]) =>
    console.log(`${String(raw).padStart(9)} ${String(packed).padStart(8)}  ${path}`);
  console.log("    bytes     gzip");
  served.filter(([path]) => !path.endsWith(".woff2")).forEach(show);
  const fonts = served.filter(([path]) => path.endsWith(".woff2"));
  const late = served.filter(([path]) => /katex|highlight|woff2|^status/.test(path));
  const first = served.filter((row) => !late.includes(row));
  show([`${fonts.length} fonts for formulas`, ...total(fonts).slice(1)]);
  show(["read on the first visit", ...total(first).slice(1)]);
  show(["read when code, a formula or the status is shown", ...total(late).slice(1)]);
  show(["everything", ...total(served).slice(1)]);
}

execFileSync("npm", ["ci"], { cwd: here, stdio: "inherit" });
const inPage = join(page, "vendor");
empty(inPage);
await bundle(inPage);
seal(inPage, Object.keys(lock()[""].dependencies));
const inTests = join(here, "../tests/vendor");
empty(inTests);
cpSync(join(modules, "axe-core/axe.min.js"), join(inTests, "axe.min.js"));
seal(inTests, ["axe-core"]);
weigh();
