// ws as its documents have it: the server's set of clients, and send() to each that is open.
// Takes lines of JSON on stdin: {"to": null or a number, "notification": {...}}.
const WebSocket = require("ws");
const { createServer } = require("http");
const { createInterface } = require("readline");

const http = createServer();
const server = new WebSocket.Server({ server: http });
const people = [];
server.on("connection", (socket) => {
  people.push(socket);
  socket.on("error", () => {});
});
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
createInterface({ input: process.stdin }).on("line", (line) => {
  const { to, notification } = JSON.parse(line);
  const text = JSON.stringify({ notification });
  if (to !== null) return people[to].send(text);
  for (const client of server.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(text);
  }
});
