// The one script of a page. What is needed later it loads by the names the server gave.
import { NotificationBell } from "./bell.js";
import { Inbox } from "./inbox.js";
import * as rows from "./rows.js";
import { Socket } from "./socket.js";
import { Tabs } from "./tabs.js";

const first = document.querySelector("notification-bell");
const id = first?.getAttribute("config") ?? "nb-config";
const config = JSON.parse(document.getElementById(id).textContent);
const load = (name) => import(config.modules[name]);
const live = first?.getAttribute("live");
// Before there is a line: what comes over it must find all who listen.
const page = document.querySelector("notification-inbox") && (await load("page"));
const tabs = new Tabs({ config, load, inbox: new Inbox(config), Socket, live });

NotificationBell.page = { config, load, tabs, rows };
customElements.define("notification-bell", NotificationBell);
if (page) {
  const { NotificationInbox } = page;
  NotificationInbox.page = { config, tabs, rows, Inbox };
  customElements.define("notification-inbox", NotificationInbox);
}
tabs.start();
