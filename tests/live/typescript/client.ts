// Shares a picture, opens it, fetches the copy and traces it, with nothing but what the API's document tells.
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [address, file, password] = process.argv.slice(2) as [string, string, string];
const { GET, POST } = createClient<paths>({ baseUrl: address });
const picture = new Blob([await readFile(file)]);

const form = (fields: Record<string, unknown>) => {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) data.append(name, one instanceof Blob ? one : String(one));
  }
  return data;
};
const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
const made = <T>({ data, error }: { data?: T; error?: components["schemas"]["ProblemDocument"] }): T => {
  if (data === undefined) throw new Error(error?.detail ?? "nothing came");
  return data;
};
const expect = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what);
};

const share = { body: { images: [picture], max_views: 3 }, bodySerializer: form };
const refused = await POST("/shares", share);
expect(refused.error?.type === "urn:chatpic:problem:upload-password", "no password, no share");
await POST("/shares", { ...share, headers: bearer(password) }).then(made);
const body = { ...share.body, upload_password: password };
const { share_id: id, link_key: key, dashboard_key } = made(await POST("/shares", { ...share, body }));
const path = { id };

const { session, token, images } = made(await POST("/shares/{id}/sessions", { params: { path }, body: { key } }));
expect(images.length === 1, "one image");
const params = { path: { id, index: 0 } };
const copy = await GET("/shares/{id}/images/{index}", { params, headers: bearer(token), parseAs: "blob" });
const image: Blob = made(copy);
expect(image.size > 1000, "the copy came whole");

const dashboard = made(await GET("/shares/{id}/dashboard", { params: { path }, headers: bearer(dashboard_key) }));
const status: "active" | "exhausted" | "expired" | "burned" = dashboard.status;
expect(status === "active", "it goes on");
const leak = { params: { path }, body: { image }, bodySerializer: form, headers: bearer(dashboard_key) };
const { verdict, matches } = made(await POST("/shares/{id}/trace", leak));
expect(verdict === "match" && matches[0]?.session === session, "the copy names its session");
