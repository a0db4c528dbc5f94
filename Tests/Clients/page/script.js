// Writes into the page what the browser got: scripts/real-clients reads it there.
"use strict";

const report = [];

async function look() {
    const answer = await fetch("data.json");
    const data = await answer.json();
    report.push(`json: ${answer.status} ${data.greeting} ${data.count}`);
    report.push(`cache: ${answer.headers.get("Cache-Status")}`);
    await document.getElementById("image").decode();
    report.push(`image: ${document.getElementById("image").naturalWidth}`);
    report.push(`style: ${getComputedStyle(document.body).color}`);
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    for (const entry of entries) report.push(`protocol: ${new URL(entry.name).pathname} ${entry.nextHopProtocol}`);
}

look().catch((error) => report.push(`error: ${error}`)).finally(() => {
    document.getElementById("report").textContent = report.join("\n") + "\nend";
});
