import Foundation
import Perennial
import PerennialRedis
import PerennialTesting
import Testing

@testable import PerennialCelery

/// The format of messages, without a server.
struct MessageTests {
    static let task = "perennial.refresh"

    private func read(_ text: String) -> TaskMessage.Reading { TaskMessage.read(Array(text.utf8), task: Self.task) }

    private func message(_ job: RefreshJob = Samples.job(), eta: Timestamp? = nil, retries: Int = 0) -> TaskMessage {
        TaskMessage(job, task: Self.task, queue: "celery", id: "id-1", deliveryTag: "tag-1", eta: eta, retries: retries)
    }

    @Test(arguments: ["", "ada", "'", "\"", "\\", "\n", "é😀", "https://h/p?q=1 lang:de"])
    func `what is written is read`(name: String) throws {
        let job = Samples.job(
            Samples.key(name, cache: name), generation: Generation(1_764_000_000_000_123), token: name)
        let written = message(job, eta: Samples.now, retries: 3)
        #expect(TaskMessage.read(written.bytes, task: Self.task) == .task(written))
        #expect(written.key == job.key)
        #expect(written.generation == job.generation)
        #expect(written.leaseToken == name)
        #expect(written.queuedAt == job.queuedAt)
    }

    @Test func `a message has all that Celery's workers need`() throws {
        let json = try #require(JSON(message().bytes))
        let headers = try #require(json["headers"]?.object)
        #expect(
            Set(headers.keys).isSuperset(of: [
                "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit",
                "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting",
                "stamped_headers", "stamps",
            ]))
        #expect(headers["eta"] == .null)
        #expect(json["content-type"] == .string("application/json"))
        #expect(json["content-encoding"] == .string("utf-8"))
        #expect(json["properties"]?["delivery_info"]?["routing_key"] == .string("celery"))
        #expect(json["properties"]?["delivery_info"]?["exchange"] == .string(""))
        let body = try #require(json["body"]?.string.flatMap { Data(base64Encoded: $0) })
        #expect(
            String(decoding: body, as: UTF8.self)
                == #"[["people","ada"],{"generation":0,"lease":"lease","queued_at":4000000000000},"#
                + #"{"callbacks":null,"chain":null,"chord":null,"errbacks":null}]"#)
    }

    /// As `app.send_task("perennial.refresh", args=["people", "ada"], kwargs={"x": 1})` writes it.
    static let python = """
        {"body": "W1sicGVvcGxlIiwgImFkYSJdLCB7IngiOiAxfSwgeyJjYWxsYmFja3MiOiBudWxsLCAiZXJyYmFja3MiOiBudWxsLCAiY2hhaW4iOiBudWxsLCAiY2hvcmQiOiBudWxsfV0=", \
        "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py", "task": "perennial.refresh", "id": "abc", \
        "shadow": null, "eta": "2026-11-24T20:00:00.250000+00:00", "expires": "2026-11-24T22:30:00+01:00", "group": null, "retries": 2, "timelimit": [null, null], \
        "custom": {"a": [], "b": {}, "c": 1.5, "d": true}}, "properties": {"correlation_id": "abc", "reply_to": "r", "delivery_mode": 2, \
        "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "t"}}
        """

    @Test func `what Python writes is read, and kept when it is put back`() throws {
        guard case .task(let message) = read(Self.python) else {
            Issue.record("not read")
            return
        }
        #expect(message.key == Samples.key())
        #expect(message.generation == nil)
        #expect(message.leaseToken == nil)
        #expect(message.retries == 2)
        #expect(message.eta == Timestamp(milliseconds: 1_795_550_400_250))
        #expect(message.expires == Timestamp(milliseconds: 1_795_555_800_000))
        let again = message.again(deliveryTag: "t2", eta: nil, retries: 3)
        #expect(TaskMessage.read(again.bytes, task: Self.task) == .task(again))
        let json = try #require(JSON(again.bytes))
        #expect(json["headers"]?["custom"] == JSON(Array(#"{"a":[],"b":{},"c":1.5,"d":true}"#.utf8)))
        #expect(json["headers"]?["id"] == .string("abc"))
        #expect(json["headers"]?["retries"] == .integer(3))
        #expect(json["properties"]?["reply_to"] == .string("r"))
        #expect(json["properties"]?["delivery_tag"] == .string("t2"))
        let redelivered = try #require(JSON(message.redelivered().bytes))
        #expect(redelivered["headers"]?["redelivered"] == .bool(true))
        #expect(redelivered["properties"]?["delivery_info"]?["redelivered"] == .bool(true))
        #expect(String(decoding: message.unackedTail, as: UTF8.self) == #","","celery"]"#)
    }

    /// What is changed in Python's message, and what is said of it.
    static let malformed: [(String, String, String)] = [
        (#""id": "abc", "#, "", "the header id"), (#""id": "abc""#, #""id": 7"#, "the header id"),
        (#""id": "abc""#, #""id": null"#, "the header id"), (#", "delivery_tag": "t""#, "", "delivery_tag"),
        (#""delivery_tag": "t""#, #""delivery_tag": """#, "delivery_tag"),
        (#""delivery_info": {"exchange": "", "routing_key": "celery"}, "#, "", "exchange"),
        (#""exchange": "", "#, "", "exchange"), (#", "routing_key": "celery""#, "", "routing_key"),
        (#""content-type": "application/json", "#, "", "content-type"),
        (#""content-encoding": "utf-8", "#, "", "content-encoding"), (#""properties": {"#, #""p": {"#, "properties"),
        (#""body": "W1"#, #""body": "W"#, "the body is no"), (#""body": "W1"#, #""b": "W1"#, "the body is missing"),
        (#""body_encoding": "base64""#, #""body_encoding": "rot13""#, "body_encoding"),
        ("2026-11-24T20:00:00.250000+00:00", "tomorrow", "eta"), ("2026-11-24T22:30:00+01:00", "2026-13-24", "expires"),
        ("W1sicGVvcGxlIiwgImFkYSJdLCB7IngiOiAxfSwgeyJ", "e30=", "the body is no"),
        (#""body": ""#, #""headers": [}, "body": ""#, "no JSON"), ("}}", "}", "no JSON"),
    ]

    @Test(arguments: malformed)
    func `a malformed message is told by what is wrong with it`(old: String, new: String, reason: String) {
        guard case .malformed(let said, _) = read(Self.python.replacing(old, with: new)) else {
            Issue.record("taken for good")
            return
        }
        #expect(said.contains(reason))
    }

    @Test(arguments: [
        "{}", "[]", "1", "null", #"[["a","b"]]"#, #"[{},{},null]"#, #"[["a","b"],[],null]"#, #"[[],{},null]"#,
        #"[["a"],{},null]"#, #"[[1,2],{},null]"#, #"[["a","b",-1],{},null]"#, #"[["a","b"],{"generation":"x"},null]"#,
        #"[["a","b"],{"lease":1},null]"#, #"[["a","b"],{"queued_at":[]},null]"#, #"[["a","b"],{},null"#, "\u{0}",
    ])
    func `a body that is no order to refresh a key is malformed`(body: String) {
        let text = Self.python.replacing(
            /"body": "[^"]*"/, with: #""body": "\#(Data(body.utf8).base64EncodedString())""#)
        guard case .malformed = read(text) else {
            Issue.record("taken for good")
            return
        }
    }

    @Test(arguments: [
        (#"[["a","b",7,"l",9],{},null]"#, 7, "l", 9), (#"[["a","b",null],{"lease":null},null]"#, nil, nil, nil),
        (#"[[],{"cache":"a","key":"b","generation":7.0,"lease":"l","queued_at":9},{}]"#, 7, "l", 9),
    ])
    func `arguments may go by place or by name`(body: String, generation: Int64?, lease: String?, queuedAt: Int64?) {
        let text = Self.python.replacing(
            /"body": "[^"]*"/, with: #""body": "\#(Data(body.utf8).base64EncodedString())""#)
        guard case .task(let message) = read(text) else {
            Issue.record("not read: \(read(text))")
            return
        }
        #expect(message.key == EntryKey(cache: "a", key: "b"))
        #expect(message.generation?.number == generation)
        #expect(message.leaseToken == lease)
        #expect(message.queuedAt?.milliseconds == queuedAt)
    }

    @Test(arguments: [
        (#""task": "perennial.refresh""#, #""task": "other", "argsrepr": "perennial.refresh""#),
        (#""application/json""#, #""application/x-python-serialize""#), (#""utf-8""#, #""binary""#),
        (#""shadow": null"#, #""compression": "application/x-gzip""#), (#""headers""#, #""heads""#),
        (#""task": "perennial.refresh""#, #""task": ["perennial.refresh"]"#),
    ])
    func `what is another task's, or only Celery reads, is left alone`(old: String, new: String) {
        #expect(read(Self.python.replacing(old, with: new)) == .other)
    }

    @Test func `no bytes harm who reads them`() {
        let bytes = Array(Self.python.utf8)
        for length in stride(from: 0, to: bytes.count, by: 7) {
            guard case .malformed = TaskMessage.read(Array(bytes[..<length]), task: Self.task) else {
                Issue.record("\(length) bytes were taken for good")
                continue
            }
        }
        let deep = String(repeating: "[", count: 100_000)
        #expect(read(deep) == .malformed("the message is no JSON", nil))
        #expect(TaskMessage.read([0xFF, 0xFE, 0], task: Self.task) == .malformed("the message is no JSON", nil))
    }

    @Test(arguments: [
        ("2026-11-24T20:00:00+00:00", 1_795_550_400_000), ("2026-11-24T20:00:00", 1_795_550_400_000),
        ("2026-11-24T20:00:00Z", 1_795_550_400_000), ("2026-11-24 20:00:00.5", 1_795_550_400_500),
        ("2026-11-24T21:30:00.123456+01:30", 1_795_550_400_123), ("2026-11-24T15:00-0500", 1_795_550_400_000),
        ("1970-01-01T00:00:00+00:00", 0),
    ])
    func `times are read`(text: String, milliseconds: Int64) {
        #expect(ISOTime.read(text) == Timestamp(milliseconds: milliseconds))
    }

    @Test(arguments: ["", "x", "2026-02-30T00:00:00", "2026-11-24", "2026-11-24T25:00:00", "2026-11-24T20:00:00+0"])
    func `what is no time is told`(text: String) {
        #expect(ISOTime.read(text) == nil)
    }

    @Test func `times are written as Python reads them`() {
        #expect(ISOTime.text(Timestamp(milliseconds: 1_795_550_400_007)) == "2026-11-24T20:00:00.007+00:00")
        #expect(ISOTime.text(.distantFuture) == "9999-12-31T23:59:59.000+00:00")
        #expect(ISOTime.text(.distantPast) == "1970-01-01T00:00:00.000+00:00")
        for milliseconds: Int64 in [1, 951_782_400_999, 4_000_000_000_001] {
            let time = Timestamp(milliseconds: milliseconds)
            #expect(ISOTime.read(ISOTime.text(time)) == time)
        }
    }
}

struct AddressTests {
    @Test func `an address has a broker, a queue and a task`() throws {
        let plain = try CeleryAddress("celery+redis://h")
        #expect((plain.queue, plain.task) == ("celery", "perennial.refresh"))
        #expect(plain.visibilityTimeout == .seconds(3600))
        let full = try CeleryAddress(
            "celery+redis://u:p@h:1/3?queue=a%20b&task=x.y-z_1&visibility_timeout=60&timeout=2")
        #expect((full.queue, full.task) == ("a b", "x.y-z_1"))
        #expect((full.redis.port, full.redis.database) == (1, 3))
        #expect(full.redis.timeout == .seconds(2))
        #expect(full.visibilityTimeout == .seconds(60))
    }

    @Test(arguments: [
        ("redis://h", "celery+redis://HOST"), ("celery+rediss://:secret@h", "no TLS"),
        ("celery+redis://:secret@h/x", "no database"), ("celery+redis://:secret@h?queue=", "needs a name"),
        ("celery+redis://:secret@h?task=a%22b", "letters"), ("celery+redis://:secret@h?task=", "letters"),
        ("celery+redis://:secret@h?visibility_timeout=0", "seconds"),
        ("celery+redis://:secret@h?colour=red", "no option “colour”"),
    ])
    func `what is wrong with an address is said without its password`(url: String, reason: String) {
        let error = #expect(throws: CeleryQueueError.self) { try CeleryQueue(url: url) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("secret") == false)
    }
}
