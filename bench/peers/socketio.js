// Socket.IO as its documents have it: a room for each person, io.emit for everybody.
// Says its port; takes lines of JSON on stdin: {"to": null or a number, "notification": {...}}.
const { createServer } = require("http");
const { Server } = require("socket.io");
const { createInterface } = require("readline");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });
let count = 0;
io.on("connection", (socket) => socket.join(`user:${count++}`));
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
createInterface({ input: process.stdin }).on("line", (line) => {
  const { to, notification } = JSON.parse(line);
  (to === null ? io : io.to(`user:${to}`)).emit("notification", notification);
});
