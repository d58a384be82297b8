// dt-sql-parser is written for bundlers: its modules do not say that they are, and its imports leave out file names.
export async function resolve(specifier, context, next) {
  for (const ending of ["", ".js"]) {
    try {
      return await next(specifier + ending, context);
    } catch {
      continue;
    }
  }
  return next(`${specifier}/index.js`, context);
}

export function load(url, context, next) {
  return next(url, url.includes("/node_modules/dt-sql-parser/") ? { ...context, format: "module" } : context);
}
