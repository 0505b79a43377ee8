// Writes the types of the API whose document stands at the first argument into the file that the second names.
import { writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const [document, file] = process.argv.slice(2);
const blob = ts.factory.createTypeReferenceNode("Blob");
// A file is a Blob in browsers; the document calls it a binary string.
const types = await openapiTS(new URL(document), { transform: ({ format }) => (format === "binary" ? blob : undefined) });
await writeFile(file, astToString(types));
