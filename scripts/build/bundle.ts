import { isAbsolute, join, relative, resolve } from "node:path";
import { type Plugin, rolldown } from "rolldown";

/**
 * Maps of libraries would be ten times ours and are read by nobody: their frames in a stack trace name the place in
 * the bundle, which is not minified.
 */
const mapOnlyOurs: Plugin = {
  name: "map-only-ours",
  transform: (code, id) => (id.includes("/node_modules/") ? { code, map: { mappings: "" } } : undefined),
};

/**
 * Bundles a program with everything that it imports into one script, the same bytes wherever the repository lies. A
 * single executable application of Node 24 runs CommonJS only.
 */
export async function bundle(root: string, entry: string, target: string): Promise<void> {
  const build = await rolldown({
    cwd: root,
    input: join(root, entry),
    platform: "node",
    // pg asks for its native variant and does without.
    external: ["pg-native"],
    plugins: [mapOnlyOurs],
    onLog: (level, log) => {
      if (level === "warn") throw new Error(`bundling ${entry}: ${log.message}`);
    },
  });
  await build.write({
    file: target,
    format: "cjs",
    codeSplitting: false,
    // As from source: what a library needs is there when it is loaded, polyfills above all.
    strictExecutionOrder: true,
    sourcemap: "inline",
    sourcemapExcludeSources: true,
    sourcemapPathTransform: (source, map) => belowRepository(root, resolve(map, "..", source)),
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await build.close();
}

function belowRepository(root: string, source: string): string {
  const path = relative(root, source);
  if (path.startsWith("..") || isAbsolute(path)) throw new Error(`${source} is not in the repository`);
  return path;
}
