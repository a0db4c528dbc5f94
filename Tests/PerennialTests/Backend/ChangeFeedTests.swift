import Testing

@testable import Perennial

@Suite struct ChangeFeedTests {
    private let key = EntryKey(cache: "people", key: "ada")

    @Test func `a listener who falls far behind learns that changes were missed`() async {
        let feed = ChangeFeed()
        let stream = feed.subscribe()
        for number in 1...2000 { feed.publish([.written(key, Generation(Int64(number)))]) }
        feed.finish()
        var heard: [StoreChange] = []
        for await changes in stream { heard += changes }
        #expect(heard.count < 2000)
        #expect(heard.contains(.missed))
    }

    @Test func `a finished feed ends every stream, also one begun later`() async {
        let feed = ChangeFeed()
        let early = feed.subscribe()
        feed.finish()
        for await _ in early { Issue.record("nothing was published") }
        for await _ in feed.subscribe() { Issue.record("nothing was published") }
    }

    @Test func `a feed is heard while somebody listens`() async {
        let feed = ChangeFeed()
        #expect(!feed.isHeard)
        let reader = Task { for await _ in feed.subscribe() { return } }
        while !feed.isHeard { await Task.yield() }
        feed.publish([.missed])
        await reader.value
        #expect(!feed.isHeard)
    }
}
