// A front end's first calls, against types that were generated from Studio's own document. It is only type-checked.
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./api";

const client = createClient<paths>({ baseUrl: "http://localhost:8081" });
type Problem = components["schemas"]["Problem"];

function told(problem: Problem): string {
  const first = problem.errors?.[0];
  return first ? `${first.pointer}: ${first.message}` : `${problem.code} (${problem.requestId}): ${problem.detail}`;
}

export async function signIn(email: string, code: string): Promise<string> {
  const asked = await client.POST("/api/auth/otp/request", { body: { email } });
  if (asked.error) throw new Error(told(asked.error));
  const minutes: number = asked.data.expiresIn / 60;
  const { data, error } = await client.POST("/api/auth/otp/verify", { body: { email, code } });
  if (error) throw new Error(`${told(error)} after ${minutes}`);
  const scheme: "Bearer" = data.tokenType;
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `${scheme} ${data.accessToken}`);
      return request;
    },
  });
  return data.user.id;
}

export async function firstProject(name: string): Promise<string> {
  const mine = await client.GET("/api/workbench/projects", { params: { query: { limit: 20 } } });
  if (mine.error) throw new Error(told(mine.error));
  const cursor: string | null = mine.data.nextCursor;
  const found = mine.data.items.find((project) => project.name === name);
  if (found) return `${found.id} ${found.rev + 1} ${cursor}`;
  const made = await client.POST("/api/workbench/projects", {
    params: { header: { "Idempotency-Key": "0123456789abcdef" } },
    body: { name, aspect: "16:9", fps: 24 },
  });
  if (made.error) throw new Error(told(made.error));
  return made.data.id;
}

export async function team(projectId: string): Promise<string[]> {
  const path = { projectId, project_id: projectId };
  const invited = await client.POST("/api/rbac/projects/{project_id}/collaborators", {
    params: { path },
    body: { email: "ann@example.org", roleKey: "artist" },
  });
  if (invited.error) throw new Error(told(invited.error));
  const mail: "queued" | "not_sent" = invited.data.mail;
  const roles = await client.GET("/api/rbac/roles", { params: { query: { projectId } } });
  const removed = await client.DELETE("/api/rbac/projects/{project_id}/collaborators/{collaborator_id}", {
    params: { path: { project_id: projectId, collaborator_id: invited.data.id } },
  });
  if (removed.error) throw new Error(told(removed.error));
  return [mail, ...(roles.data?.items.flatMap((role) => role.permissions) ?? [])];
}

export async function panels(storyId: string): Promise<string[]> {
  const { data, error } = await client.GET("/api/stories/{story_id}/tree", { params: { path: { story_id: storyId } } });
  if (error) throw new Error(told(error));
  const shot = data.shots[0];
  if (!shot) return [];
  const order = await client.POST("/api/assetGen/generate", {
    body: { target: { type: "shot", id: shot.id, slot: "panel" } },
  });
  if (order.error) throw new Error(told(order.error));
  const ended = ["succeeded", "failed", "cancelled"] as const satisfies (typeof order.data.job.state)[];
  return [order.data.job.id, ended.find((state) => state === order.data.job.state) ?? "under way"];
}

export async function rename(projectId: string, rev: number, name: string): Promise<number> {
  const changed = await client.PATCH("/api/workbench/projects/{project_id}", {
    params: { path: { project_id: projectId }, header: { "If-Match": `"${rev}"` } },
    body: { name },
  });
  if (changed.error) throw new Error(told(changed.error));
  return changed.data.rev;
}

export async function film(timelineId: string): Promise<number> {
  const path = { timeline_id: timelineId };
  const { data, error } = await client.POST("/api/workbench/timelines/{timeline_id}/render", { params: { path } });
  if (error) throw new Error(told(error));
  const start = await client.GET("/api/workbench/timelines/{timeline_id}/export", {
    params: { path, query: { format: "mp4" }, header: { Range: "bytes=0-99" } },
    parseAs: "blob",
  });
  if (start.error) throw new Error(told(start.error));
  return data.job.createdAt;
}

// Every operation has a name of its own that a generator can call a function by.
export const named: (keyof operations)[] = ["request_otp", "create_project", "list_roles", "get_me"];

// What the document forbids, the compiler refuses: each of these lines would be an error without its mark.
export async function mistakes(): Promise<void> {
  // @ts-expect-error there is no such address
  await client.GET("/api/nowhere");
  // @ts-expect-error an address is text
  await client.POST("/api/auth/otp/request", { body: { email: 5 } });
  // @ts-expect-error the code is missing
  await client.POST("/api/auth/otp/verify", { body: { email: "ann@example.org" } });
  // @ts-expect-error no such field
  const project: components["schemas"]["ProjectCreate"] = { name: "Rain", ownerId: "1" };
  await client.POST("/api/workbench/projects", { body: project });
  // @ts-expect-error no such aspect
  await client.POST("/api/workbench/projects", { body: { name: "Rain", aspect: "5:4" } });
  // @ts-expect-error a parameter of the path is missing
  await client.GET("/api/workbench/projects/{project_id}", {});
  const { data } = await client.GET("/api/auth/me");
  // @ts-expect-error no such field in the answer
  data?.secret;
}
