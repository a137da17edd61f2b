// The one script of a page. It loads the others by the names the server gave, hashed or not.
const config = JSON.parse(document.getElementById("nb-config").textContent);
const load = (name) => import(config.modules[name]);

const [{ Inbox }, { Socket }, { Tabs }, { NotificationBell }] = await Promise.all(
  ["inbox", "socket", "tabs", "bell"].map(load),
);
const tabs = new Tabs({ config, inbox: new Inbox(config), Socket });

NotificationBell.page = { config, load, tabs };
customElements.define("notification-bell", NotificationBell);
if (document.querySelector("notification-inbox")) {
  const { NotificationInbox } = await load("page");
  NotificationInbox.page = { config, load, tabs, Inbox };
  customElements.define("notification-inbox", NotificationInbox);
}
tabs.start();
