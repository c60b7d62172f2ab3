// Prints one JSON line per thing that happens to an unmodified socket.io-client.
import { io } from "socket.io-client";

const [url, token, transports] = process.argv.slice(2);
const say = (what, rest = {}) => console.log(JSON.stringify({ what, ...rest }));
const socket = io(url, { auth: { token }, transports: transports.split(","), reconnectionDelay: 50 });

socket.on("connect", () => say("connect", { recovered: socket.recovered, transport: socket.io.engine.transport.name }));
socket.on("connect_error", (error) => { say("connect_error", { code: error.data?.code }); });
socket.on("disconnect", (reason) => say("disconnect", { reason }));
socket.on("assetGenResponse", (data) => say("event", { data }));
process.stdin.on("data", (line) => {
  if (String(line).includes("drop")) socket.io.engine.close();
  if (String(line).includes("quit")) process.exit(0);
});
