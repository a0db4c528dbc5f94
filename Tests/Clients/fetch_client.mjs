#!/usr/bin/env node
// Node's own fetch through the gateway.
//
// usage: fetch_client.mjs alive|dead GATEWAY ORIGIN FOLDER
//
// As steps.py does it for Python's clients. The authority of the gateway's certificate is named by NODE_EXTRA_CA_CERTS.

import { createHash } from "node:crypto";
import { subscribe } from "node:diagnostics_channel";
import { setTimeout as pause } from "node:timers/promises";

const [phase, gateway, originAddress, folder] = process.argv.slice(2);
const greeting = "Grüße, 世界 ✓";
const large = Buffer.from(Array.from({ length: 131072 }, (_, number) => String(number).padStart(7, "0") + "\n").join(""));
const lines = Array.from({ length: 100 }, (_, number) => `line ${number}\n`).join("");
const half = large.length / 2;

// One request after another takes fetch two connections: it opens the second before it knows the first to be free.
let connections = 0;
subscribe("undici:client:connected", ({ connectParams }) => { connections += gateway.endsWith(connectParams.host) ? 1 : 0; });

const check = (claim, expected, got) => console.log([claim, expected, got].join("\t"));

// What Cache-Status says; of that only the beginning that is expected, if it is so.
function cache(answer, beginning = "") {
    const said = (answer.headers.get("Cache-Status") ?? "").replace(/^perennial; /, "");
    return beginning && said.startsWith(beginning) ? beginning : said;
}

const ask = (path, options = {}) => fetch(gateway + folder + path, { signal: AbortSignal.timeout(30000), ...options });

async function raised(action) {
    try {
        await action();
    } catch (error) {
        return error.name + (error.message === "terminated" ? ": terminated" : "");
    }
    return "nothing";
}

// Whether it came true.
async function until(condition, seconds = 30) {
    for (const end = Date.now() + seconds * 1000; !(await condition());) {
        if (Date.now() > end) return false;
        await pause(20);
    }
    return true;
}

// The way to the origin past the gateway.
const origin = Object.fromEntries(["count", "waiting", "received", "close", "open"].map((command) => [command, async (path) => {
    const method = command === "close" || command === "open" ? "POST" : "GET";
    return Number(await (await fetch(`${originAddress}/_/${command}?${folder}${path}`, { method })).text());
}]));

const alive = {
    async "first and second read"() {
        const first = await ask("/fresh/1");
        check("the first read is fetched and stored", "200 fwd=uri-miss; stored", `${first.status} ${cache(first)}`);
        const text = await first.text();
        check("… and is the origin's JSON", greeting, JSON.parse(text).greeting);
        const second = await ask("/fresh/1");
        check("the second is a hit", "200 hit", `${second.status} ${cache(second, "hit")}`);
        check("… with the same bytes and an Age", "true true",
            `${(await second.text()) === text} ${/^\d+$/.test(second.headers.get("Age"))}`);
        check("… and the origin was asked once", 1, await origin.count("/fresh/1"));
    },

    async "one connection"() {
        for (let number = 0; number < 50; number++) await (await ask(`/fresh/${number % 5}`)).text();
        check("all requests so far took two connections at most", true, connections === 1 || connections === 2);
    },

    async conditions() {
        const known = await ask("/fresh/1");
        const text = await known.text();
        // fetch adds `Cache-Control: no-cache` to a request that has a condition, as its standard wants it.
        const tag = known.headers.get("ETag");
        let answer = await ask("/fresh/1", { headers: { "If-None-Match": tag } });
        check("If-None-Match: 304 without a body, and as fetch says no-cache, the origin is asked", "304 0 fwd=request 2",
            `${answer.status} ${(await answer.text()).length} ${cache(answer, "fwd=request")} ${await origin.count("/fresh/1")}`);
        answer = await ask("/fresh/1", { headers: { "If-None-Match": '"another"' } });
        check("another entity tag gets the whole", "200 3", `${answer.status} ${(await answer.json()).count}`);
        answer = await ask("/fresh/1", { headers: { Range: "bytes=2-5" } });
        check("a range is that range", "206 path", `${answer.status} ${await answer.text()}`);
        answer = await ask("/fresh/1", { method: "HEAD" });
        check("HEAD has the length and no body", `${Buffer.byteLength(text)} 0`,
            `${answer.headers.get("Content-Length")} ${(await answer.text()).length}`);
    },

    async "other kinds of answers"() {
        for (const [claim, expected] of [["gzip is unpacked", "fwd=uri-miss; stored"], ["… also out of the cache", "hit"]]) {
            const answer = await ask("/gzip/1");
            check(claim, `${greeting} ${expected}`, `${(await answer.json()).greeting} ${cache(answer, expected)}`);
        }
        for (const claim of ["a redirection is followed", "… and was asked for once"]) {
            const answer = await ask("/moved/1");
            check(claim, "true 200 /fresh/1 1",
                `${answer.redirected} ${answer.status} ${(await answer.json()).path.slice(folder.length)} ${await origin.count("/moved/1")}`);
        }
        await (await ask("/missing/1")).text();
        const missing = await ask("/missing/1");
        await missing.text();
        check("a 404 is one, and kept", "404 1", `${missing.status} ${await origin.count("/missing/1")}`);
        for (const [claim, expected] of [["chunks arrive whole", "fwd=uri-miss; stored"], ["… also out of the cache", "hit"]]) {
            const answer = await ask("/chunks/1");
            check(claim, `true ${expected}`, `${(await answer.text()) === lines} ${cache(answer, expected)}`);
        }
    },

    async "what is not shared"() {
        const passing = [["a request with a password passes", { Authorization: "Basic dTpw" }], ["… one with a cookie, too", { Cookie: "a=1" }]];
        for (const [claim, headers] of passing) {
            const answer = await ask("/fresh/mine", { headers });
            await answer.text();
            check(claim, "fwd=bypass", cache(answer, "fwd=bypass"));
        }
        check("… both to the origin", 2, await origin.count("/fresh/mine"));
    },

    async writes() {
        const headers = { "Content-Type": "application/json" };
        let answer = await ask("/echo/1", { method: "POST", body: JSON.stringify({ greeting }), headers });
        let seen = await answer.json();
        check("POST of JSON arrives", "POST application/json fwd=method", `${seen.method} ${seen.type} ${cache(answer, "fwd=method")}`);
        await (await ask("/fresh/written")).text();
        await (await ask("/fresh/written", { method: "PUT", body: "new" })).text();
        answer = await ask("/fresh/written");
        await answer.text();
        check("PUT removes what was stored for its address", "3 fwd=uri-miss; stored", `${await origin.count("/fresh/written")} ${cache(answer)}`);
        let came;
        const body = new ReadableStream({
            start(parts) { parts.enqueue(large.subarray(0, half)); },
            async pull(parts) {
                came = await until(async () => (await origin.received("/echo/2")) >= half);
                parts.enqueue(large.subarray(half));
                parts.close();
            },
        }, { highWaterMark: 1 });
        answer = await ask("/echo/2", { method: "POST", body, duplex: "half" });
        seen = await answer.json();
        check("a body from a stream: the origin has its first half before there is a second", true, came);
        check("… and it arrives whole", createHash("sha256").update(large).digest("hex"), seen.sha256);
    },

    async streams() {
        await origin.close("/large/1");
        const answer = await ask("/large/1");
        const reader = answer.body.getReader();
        let content = Buffer.alloc(0);
        while (content.length < 160000) content = Buffer.concat([content, (await reader.read()).value]);
        check("of a large body the beginning is here before the origin sends the end", "true 1",
            `${content.equals(large.subarray(0, content.length))} ${await origin.waiting("/large/1")}`);
        await origin.open("/large/1");
        for (let part; !(part = await reader.read()).done;) content = Buffer.concat([content, part.value]);
        check("… and it arrives whole", true, content.equals(large));
        check("a body that breaks off is an error", "TypeError: terminated", await raised(async () => (await ask("/broken/1")).text()));
        check("… and the next request works", 200, (await ask("/fresh/1")).status);
        const unread = await ask("/large/1");
        await unread.body.cancel();
        check("a body that is not read to its end harms nothing", 200, (await ask("/fresh/1")).status);
    },

    async "time-outs"() {
        await origin.close("/fresh/slow");
        check("a client that waits for 0.5 s gets its time-out", "TimeoutError",
            await raised(() => ask("/fresh/slow", { signal: AbortSignal.timeout(500) })));
        check("… other addresses are answered meanwhile", 200, (await ask("/fresh/1")).status);
        await origin.open("/fresh/slow");
        const answer = await ask("/fresh/slow");
        check("… what it asked for was fetched all the same, once", "200 1", `${answer.status} ${await origin.count("/fresh/slow")}`);
    },

    async "many readers"() {
        await origin.close("/fresh/together");
        const readers = Array.from({ length: 20 }, () => ask("/fresh/together"));
        await until(async () => (await origin.waiting("/fresh/together")) > 0);
        await origin.open("/fresh/together");
        const statuses = (await Promise.all(readers)).map((answer) => answer.status);
        check("20 readers at once ask the origin once", "20 1",
            `${statuses.filter((status) => status === 200).length} ${await origin.count("/fresh/together")}`);
    },

    async "stale answers"() {
        await (await ask("/stale/1")).text();
        await origin.close("/stale/1");
        for (const claim of ["a stale answer does not wait for the origin", "… however often it is read"]) {
            const answer = await ask("/stale/1", { signal: AbortSignal.timeout(10000) });
            check(claim, "1 hit true", `${(await answer.json()).count} ${cache(answer, "hit")} ${cache(answer).includes("detail=refreshing")}`);
        }
        check("… which is asked behind, once", "true 1",
            `${await until(async () => (await origin.waiting("/stale/1")) > 0)} ${await origin.waiting("/stale/1")}`);
        await origin.open("/stale/1");
        check("… and its new answer comes", true, await until(async () => (await (await ask("/stale/1")).json()).count > 1));
        await (await ask("/expired/1")).text();
        await origin.close("/expired/1");
        const answer = await ask("/expired/1", { signal: AbortSignal.timeout(10000) });
        check("what has expired is served when the origin is slow", "1 hit true",
            `${(await answer.json()).count} ${cache(answer, "hit")} ${cache(answer).includes("detail=origin-slow")}`);
        await origin.open("/expired/1");
    },
};

const dead = {
    async "the origin is dead"() {
        for (const [path, status] of [["/fresh/1", 200], ["/gzip/1", 200], ["/chunks/1", 200], ["/missing/1", 404]]) {
            const answer = await ask(path);
            await answer.text();
            check(`${path} is still served`, `${status} hit`, `${answer.status} ${cache(answer, "hit")}`);
        }
        for (const [path, detail] of [["/stale/1", "refreshing"], ["/expired/1", "origin-failed"]]) {
            const answer = await ask(path);
            check(`${path} is served stale`, `200 ${greeting} hit true`,
                `${answer.status} ${(await answer.json()).greeting} ${cache(answer, "hit")} ${cache(answer).includes(detail)}`);
        }
        const never = await ask("/fresh/never");
        const said = await never.text();
        check("what was never read is an error with a sentence", "true true",
            `${[502, 503].includes(never.status)} ${said.length > 20 && said.length < 500}`);
        const write = await ask("/echo/1", { method: "POST", body: "x" });
        await write.text();
        check("a write is an error", 502, write.status);
        check("… and all that took two connections at most", true, connections === 1 || connections === 2);
    },
};

for (const [name, step] of Object.entries({ alive, dead }[phase])) {
    // A step that ends early leaves the others alone.
    try {
        await step();
    } catch (error) {
        console.error(error);
        check(name, "to run to its end", `${error}`.replaceAll(/\s+/g, " "));
    }
}
