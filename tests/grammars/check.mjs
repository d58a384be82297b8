// Reads one or more statements from stdin and writes what a grammar (hive or trino) finds wrong with them, as JSON.
import { readFileSync } from "node:fs";
import { register } from "node:module";

register("./hooks.mjs", import.meta.url);
const { HiveSQL, TrinoSQL } = await import("dt-sql-parser");

const Parser = { hive: HiveSQL, trino: TrinoSQL }[process.argv[2]];
console.log(JSON.stringify(new Parser().validate(readFileSync(0, "utf8"))));
