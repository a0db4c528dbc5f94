/// What the eviction order needs to know of one entry of a shard. Kept apart from keys and elements so that those lie
/// close together, where a hit reads them.
struct EntryLink {
    /// Bytes, with the table's own.
    var cost = 0
    var newer = none
    var older = none

    /// No entry.
    static var none: UInt32 { .max }
}

/// A doubly linked list of entries, newest first, that knows its total cost. Links live in the shard's array.
struct EntryList {
    var newest = EntryLink.none
    var oldest = EntryLink.none
    var count = 0
    var bytes = 0

    init() {}

    mutating func append(_ index: UInt32, _ links: UnsafeMutablePointer<EntryLink>) {
        links[Int(index)].newer = EntryLink.none
        links[Int(index)].older = newest
        if newest == EntryLink.none { oldest = index } else { links[Int(newest)].newer = index }
        newest = index
        count += 1
        bytes += links[Int(index)].cost
    }

    mutating func remove(_ index: UInt32, _ links: UnsafeMutablePointer<EntryLink>) {
        let link = links[Int(index)]
        if link.newer == EntryLink.none { newest = link.older } else { links[Int(link.newer)].older = link.older }
        if link.older == EntryLink.none { oldest = link.newer } else { links[Int(link.older)].newer = link.newer }
        count -= 1
        bytes -= link.cost
    }

    mutating func renew(_ index: UInt32, _ links: UnsafeMutablePointer<EntryLink>) {
        remove(index, links)
        append(index, links)
    }
}
