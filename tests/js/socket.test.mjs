// A socket that stays alive, on a line and a clock that the test holds in its hands.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { load } from "./load.mjs";

const { Socket } = await load("socket");

const WELCOME = { type: "welcome", mode: "resume", heartbeat: 25, window: 8 };
let lines; // every line that was opened
let online;
let sockets = [];

class Line {
  readyState = 0;
  sent = [];
  closed = null;

  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    lines.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closed = code;
    this.readyState = 3;
  }

  open() {
    this.readyState = 1;
    this.onopen();
  }

  say(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  die(code) {
    this.readyState = 3;
    this.onclose({ code });
  }
}

globalThis.WebSocket = Line;
Object.defineProperty(globalThis, "navigator", {
  value: {
    get onLine() {
      return online;
    },
  },
  configurable: true,
});
mock.timers.enable({ apis: ["setTimeout", "Date"] });

const last = () => lines.at(-1);
// In small steps: a timer set by a timer counts from the end of the step.
const tick = (seconds) => {
  for (let left = Math.round(seconds * 1000); left > 0; left -= 50)
    mock.timers.tick(Math.min(left, 50));
};

function aSocket() {
  const states = [];
  const frames = [];
  const failures = [];
  const socket = new Socket({
    url: "ws://shop/ws/notifications/",
    hello: () => ({ cursor: { epoch: "k3", user: 4 } }),
    onframe: (frame) => frames.push(frame),
    onstate: (state, retryAt) => states.push([state, retryAt && retryAt - Date.now()]),
    onfail: () => failures.push(Date.now()),
  });
  sockets.push(socket);
  return { socket, states, frames, failures };
}

function aLiveSocket() {
  const made = aSocket();
  made.socket.start();
  last().open();
  last().say(WELCOME);
  return made;
}

let random = 0.5;
beforeEach(() => {
  lines = [];
  online = true;
  random = 0.5;
  Math.random = () => random;
});
afterEach(() => sockets.splice(0).forEach((socket) => socket.stop()));

test("it says hello with the cursor and is live when it is welcome, not before", () => {
  const { socket, states } = aSocket();
  socket.start();
  assert.equal(last().protocol, "notifications.v1");
  last().open();
  assert.deepEqual(last().sent, [{ type: "hello", cursor: { epoch: "k3", user: 4 } }]);
  assert.deepEqual(states.map(([state]) => state), ["connecting"]);
  last().say(WELCOME);
  assert.equal(states.at(-1)[0], "live");
});

test("starting twice opens one line", () => {
  const { socket } = aSocket();
  socket.start();
  socket.start();
  assert.equal(lines.length, 1);
});

for (const code of [4001, 4004, 4008])
  test(`after ${code} it is signed out and does not come back`, () => {
    const { states } = aLiveSocket();
    last().die(code);
    tick(120);
    assert.equal(states.at(-1)[0], "signedout");
    assert.equal(lines.length, 1);
  });

for (const code of [4002, 4003, 4009])
  test(`after ${code} it stays away until somebody starts it`, () => {
    const { socket, states } = aLiveSocket();
    last().die(code);
    tick(120);
    socket.check();
    assert.equal(states.at(-1)[0], "offline");
    assert.equal(lines.length, 1);
    socket.start();
    assert.equal(lines.length, 2);
    });

for (const code of [1000, 1001, 1006, 1011, 1012, 4100, 4101, 4102, 4103, 4104, 4105, 4106, 4107])
  test(`after ${code} it comes back`, () => {
    const { socket, states } = aLiveSocket();
    last().die(code);
    assert.equal(states.at(-1)[0], "reconnecting");
    tick(1);
    assert.equal(lines.length, 2);
    });

test("the wait is random up to twice the last one, and up to 20 s", () => {
  const { socket, states } = aSocket();
  socket.start();
  random = 1;
  const waits = [];
  for (let n = 0; n < 8; n++) {
    last().die(1006);
    waits.push(states.at(-1)[1]);
    tick(waits.at(-1) / 1000);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  random = 0;
  last().die(1006);
  assert.equal(states.at(-1)[1], 0);
});

test("a line that dies young does not count as a success", () => {
  const { socket, states } = aLiveSocket();
  random = 1;
  for (const seconds of [29, 29]) {
    tick(seconds);
    last().die(1006);
    tick(states.at(-1)[1] / 1000);
    last().open();
    last().say(WELCOME);
  }
  last().die(1006);
  assert.equal(states.at(-1)[1], 2000, "a third attempt");
  tick(2);
  last().open();
  last().say(WELCOME);
  last().say({ type: "hb" });
  tick(31);
  last().die(1006);
  assert.equal(states.at(-1)[1], 500, "after 30 s it begins anew");
});

test("a machine without a network says so, and still tries", () => {
  const { socket, states } = aLiveSocket();
  online = false;
  last().die(1006);
  assert.equal(states.at(-1)[0], "offline");
  tick(1);
  assert.equal(lines.length, 2);
});

test("offline it goes on asking: what was still on its way says nothing of what follows", () => {
  const { socket, states } = aLiveSocket();
  online = false;
  socket.check();
  tick(0.1);
  last().say({ type: "counts" });
  tick(1);
  assert.equal(states.at(-1)[0], "live");
  tick(1);
  assert.equal(states.at(-1)[0], "offline");
});

test("when something happens while it waits, it tries at once", () => {
  const { socket } = aLiveSocket();
  random = 1;
  last().die(1006);
  socket.check();
  assert.equal(lines.length, 2);
  tick(5);
  assert.equal(lines.length, 2, "and not once more when the wait is over");
});

test("an answer that never comes to hello ends the line", () => {
  const { socket } = aSocket();
  socket.start();
  last().open();
  tick(16);
  assert.equal(lines[0].closed, 1000);
  assert.equal(lines.length, 2);
});

test("ten seconds after a missing heartbeat it asks, and five later it is gone", () => {
  const { socket, states } = aLiveSocket();
  tick(34.9);
  assert.equal(last().sent.at(-1).type, "hello");
  tick(0.2);
  assert.equal(last().sent.at(-1).type, "ping");
  tick(4.8);
  assert.equal(states.at(-1)[0], "live");
  tick(0.2);
  assert.equal(states.at(-1)[0], "reconnecting");
  assert.equal(lines[0].closed, 1000);
});

test("any frame in answer to the ping keeps the line", () => {
  const { socket, states } = aLiveSocket();
  for (let n = 0; n < 3; n++) {
    tick(35.1);
    assert.equal(last().sent.at(-1).type, "ping");
    tick(1);
    last().say({ type: "pong" });
    tick(4.1);
    assert.equal(states.at(-1)[0], "live");
    last().say({ type: "counts" });
  }
  assert.equal(lines.length, 1);
});

test("heartbeats keep the line without a question", () => {
  const { socket } = aLiveSocket();
  for (let n = 0; n < 4; n++) {
    tick(25);
    last().say({ type: "hb" });
  }
  assert.deepEqual(last().sent.map(({ type }) => type), ["hello", "ack", "ack", "ack", "ack"]);
});

test("when the page comes back it asks whether the line is alive", () => {
  const { socket } = aLiveSocket();
  tick(10);
  socket.check();
  assert.equal(last().sent.at(-1).type, "ping");
  tick(5.1);
  assert.equal(lines[0].closed, 1000);
});

test("it acks when half the window is used, not each frame", () => {
  const { socket } = aLiveSocket();
  const acks = () => last().sent.filter(({ type }) => type === "ack").length;
  for (let n = 0; n < 3; n++) last().say({ type: "items" });
  assert.equal(acks(), 0);
  last().say({ type: "items" });
  assert.equal(acks(), 1);
  for (let n = 0; n < 3; n++) last().say({ type: "items" });
  assert.equal(acks(), 1);
});

test("it acks after the frame is applied", () => {
  const { socket, frames } = aLiveSocket();
  const line = last();
  const before = line.send;
  line.send = function (text) {
    if (JSON.parse(text).type === "ack") assert.equal(frames.at(-1).type, "hb");
    before.call(this, text);
  };
  line.say({ type: "hb", cursor: {} });
  assert.equal(line.sent.at(-1).type, "ack");
});

test("asked to drain it comes back within that time", () => {
  const { socket } = aLiveSocket();
  last().say({ type: "drain", in: 4000 });
  tick(1.9);
  assert.equal(lines.length, 1);
  tick(0.2);
  assert.equal(lines[0].closed, 1000);
  assert.equal(lines.length, 2);
});

test("a done settles its own request", async () => {
  const { socket } = aLiveSocket();
  const first = socket.request({ type: "do", action: "read", ids: [1] });
  const second = socket.request({ type: "do", action: "read", ids: [2] });
  const [a, b] = last().sent.slice(-2).map(({ id }) => id);
  assert.notEqual(a, b);
  last().say({ type: "done", id: b, ok: false, error: {} });
  last().say({ type: "done", id: a, ok: true });
  assert.equal((await first).ok, true);
  assert.equal((await second).ok, false);
});

test("a request fails when there is no line, no answer, or the line is lost", async () => {
  const { socket } = aLiveSocket();
  const unanswered = socket.request({ type: "do" });
  tick(5.1);
  await assert.rejects(unanswered);
  const lost = socket.request({ type: "do" });
  last().die(1006);
  await assert.rejects(lost);
  await assert.rejects(socket.request({ type: "do" }));
});

test("stopped it closes with 1000, is idle and stays so", () => {
  const { socket, states } = aLiveSocket();
  socket.stop();
  assert.equal(last().closed, 1000);
  assert.equal(states.at(-1)[0], "idle");
  tick(120);
  socket.check();
  assert.equal(lines.length, 1);
});

test("a line that is not open yet is closed when it opens", () => {
  const { socket } = aSocket();
  socket.start();
  const line = last();
  socket.stop();
  assert.equal(line.closed, null, "the browser would complain");
  line.open();
  assert.equal(line.closed, 1000);
  assert.deepEqual(line.sent, []);
});

test("what a dropped line still says is not heard", () => {
  const { socket, frames } = aLiveSocket();
  const line = last();
  socket.stop();
  assert.equal(line.onmessage, null);
  assert.equal(frames.length, 1);
});
