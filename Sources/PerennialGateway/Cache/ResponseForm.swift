internal import NIOConcurrencyHelpers
internal import NIOCore
internal import PerennialHTTP
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// What responses have in common whose status and names of fields are the same: most of their values, too. Each keeps
/// beside it only the values that are its own, such as `Date` and `ETag`.
///
/// A form is made of one response, whose values are the form's. It has the head of an answer prepared, in which a
/// response's own values take the place of the form's.
///
/// `@unchecked`: never changed once it is made. Memory of its own instead of arrays, so that a hit counts no
/// references: all hits of all threads would count the same ones.
final class ResponseForm: @unchecked Sendable {
    /// Where a value lies: in the description, with the number that says how long it is, and in the head, if it is
    /// there.
    private struct Place {
        var inDescription: Range<Int32>
        var textStart: Int32
        var inHead: Range<Int32>?
    }

    let status: Int
    let hasVary: Bool
    /// The names in `Vary`: lower case, sorted.
    let vary: [String]
    /// Bytes that it takes, about.
    var size: Int { description.count + head.count + places.count * (MemoryLayout<Place>.stride + 32) + 256 }
    /// Bytes that responses have kept beside it.
    let beside = Atomic(0)

    private let description: UnsafeMutableBufferPointer<UInt8>
    private let layout: DescriptionLayout
    /// Status line and field lines, `Via` and `Content-Length` included, `Date` not.
    private let head: UnsafeMutableBufferPointer<UInt8>
    /// Of the values, and behind them of the size of the body, which is no field of the description.
    private let places: UnsafeMutableBufferPointer<Place>
    private let date: Int?
    private let etag: Int?
    private let lastModified: Int?
    /// Whether other responses may be put into this form: not if a value can't be written into a head.
    let isShared: Bool

    /// - Parameter source: as `StoredResponse.encodeDescription()` gives it.
    init(_ source: ArraySlice<UInt8>, _ layout: DescriptionLayout, bodySize: Int) throws(DamagedResponse) {
        // A description without `Vary` ends with a list of no names.
        hasVary = layout.vary.count > 1
        vary = hasVary ? try StoredResponse(description: source).vary : []
        self.layout = layout
        description = .allocate(capacity: source.count)
        _ = description.initialize(from: source)
        let bytes = UnsafeBufferPointer(description).span
        status = layout.status
        var places: [Place] = []
        var head = ByteBuffer()
        head.writeStatusLine(status)
        var (date, etag, lastModified): (Int?, Int?, Int?)
        var hasRanges = false
        var isShared = layout.fields.count < 255
        for (index, (name, counted, value)) in layout.fields.enumerated() {
            places.append(
                Place(
                    inDescription: Int32(counted.lowerBound)..<Int32(counted.upperBound),
                    textStart: Int32(value.lowerBound)))
            guard index < layout.responseFieldCount else { continue }
            let isWritable = bytes.isOneLine(name) && bytes.isOneLine(value)
            if !isWritable { isShared = false }
            if bytes.holds("accept-ranges", at: name, ignoringCase: true) { hasRanges = true }
            if etag == nil, bytes.holds("etag", at: name, ignoringCase: true) { etag = index }
            if lastModified == nil, bytes.holds("last-modified", at: name, ignoringCase: true) { lastModified = index }
            if bytes.holds("date", at: name, ignoringCase: true) {
                if date == nil && isWritable { date = index }
            } else if isWritable, !bytes.holds("content-length", at: name, ignoringCase: true),
                !bytes.isForThisCache(at: name)
            {
                head.writeBytes(of: bytes, at: name)
                head.writeStaticString(": ")
                let start = Int32(head.writerIndex)
                head.writeBytes(of: bytes, at: value)
                places[index].inHead = start..<Int32(head.writerIndex)
                head.writeLineEnd()
            }
        }
        if status == 200 && !hasRanges { head.writeStaticString("Accept-Ranges: bytes\r\n") }
        head.writeVia()
        var size = Place(inDescription: 0..<0, textStart: 0)
        if statusHasBody(status) {
            head.writeStaticString("Content-Length: ")
            let start = Int32(head.writerIndex)
            head.writeString(String(bodySize))
            size.inHead = start..<Int32(head.writerIndex)
            head.writeLineEnd()
        }
        places.append(size)
        self.head = .allocate(capacity: head.readableBytes)
        _ = self.head.initialize(from: head.readableBytesView)
        self.places = .allocate(capacity: places.count)
        _ = self.places.initialize(from: places)
        (self.date, self.etag, self.lastModified) = (date, etag, lastModified)
        self.isShared = isShared
    }

    deinit {
        description.deallocate()
        head.deallocate()
        places.deallocate()
    }

    // MARK: Putting a response into the form

    /// The values of a response that are not the form's: for each the number of its field, how many bytes it begins and
    /// ends with that the form's value has there, too, in one byte each, how many come between in two bytes, and these.
    /// - Parameter source: a description with the form's status and names: see ``ResponseForms``.
    /// - Returns: `nil`: the response can't be put into this form.
    func ownValues(of source: Span<UInt8>, _ layout: DescriptionLayout, bodySize: Int) -> [UInt8]? {
        guard isShared else { return nil }
        var own: [UInt8] = []
        for (index, (_, _, value)) in layout.fields.enumerated() {
            let isFitting = source.extracting(value).withUnsafeBufferPointer { mine in
                let theirs = UnsafeBufferPointer(rebasing: text(index))
                if mine.areSameBytes(as: theirs) { return true }
                guard mine.count <= 0xffff, source.isOneLine(value) else { return false }
                Self.add(mine, besides: theirs, index, to: &own)
                return true
            }
            if !isFitting { return nil }
        }
        if let place = places[places.count - 1].inHead {
            let theirs = UnsafeBufferPointer(rebasing: slice(head, place))
            Array(String(bodySize).utf8).withUnsafeBufferPointer { mine in
                if !mine.areSameBytes(as: theirs) { Self.add(mine, besides: theirs, places.count - 1, to: &own) }
            }
        }
        return own
    }

    private static func add(
        _ mine: UnsafeBufferPointer<UInt8>, besides theirs: UnsafeBufferPointer<UInt8>, _ index: Int,
        to own: inout [UInt8]
    ) {
        let most = min(mine.count, theirs.count, 255)
        var prefix = 0
        while prefix < most, mine[prefix] == theirs[prefix] { prefix += 1 }
        var suffix = 0
        while suffix < most - prefix, mine[mine.count - 1 - suffix] == theirs[theirs.count - 1 - suffix] { suffix += 1 }
        let count = mine.count - prefix - suffix
        own += [
            UInt8(index), UInt8(prefix), UInt8(suffix), UInt8(truncatingIfNeeded: count),
            UInt8(truncatingIfNeeded: count >> 8),
        ]
        own += mine[prefix..<prefix + count]
    }

    /// Whether a description has the form's status and names.
    func fits(_ source: Span<UInt8>, _ layout: DescriptionLayout) -> Bool {
        guard isShared, layout.status == status, layout.responseFieldCount == self.layout.responseFieldCount,
            layout.fields.count == self.layout.fields.count
        else { return false }
        func areEqual(_ theirs: Range<Int>, _ mine: Range<Int>) -> Bool {
            source.extracting(theirs).withUnsafeBufferPointer { theirs in
                theirs.areSameBytes(as: UnsafeBufferPointer(rebasing: UnsafeBufferPointer(description)[mine]))
            }
        }
        for index in layout.fields.indices
        where !areEqual(layout.fields[index].name, self.layout.fields[index].name) {
            return false
        }
        return areEqual(layout.vary, self.layout.vary)
    }

    private func slice(_ bytes: UnsafeMutableBufferPointer<UInt8>, _ range: Range<Int32>) -> Slice<
        UnsafeBufferPointer<UInt8>
    > {
        UnsafeBufferPointer(bytes)[Int(range.lowerBound)..<Int(range.upperBound)]
    }

    /// The form's value.
    private func text(_ index: Int) -> Slice<UnsafeBufferPointer<UInt8>> {
        slice(description, places[index].textStart..<places[index].inDescription.upperBound)
    }

    // MARK: Taking it out

    /// - Parameter own: as ``ownValues(of:_:bodySize:)`` gave them.
    func writeHead(with own: UnsafeBufferPointer<UInt8>, to out: inout ByteBuffer) {
        var written = 0
        forEachOwn(own) { value in
            guard let place = places[value.index].inHead else { return }
            out.writeBytes(
                UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(head)[written..<Int(place.lowerBound) + value.prefix]))
            out.writeBytes(UnsafeRawBufferPointer(value.bytes))
            written = Int(place.upperBound) - value.suffix
        }
        out.writeBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(head)[written...]))
    }

    /// Writes the line of `Date` as the origin sent it.
    func writeDateLine(with own: UnsafeBufferPointer<UInt8>, to out: inout ByteBuffer) {
        out.writeStaticString("Date: ")
        if let date { forEachPart(of: date, with: own) { out.writeBytes(UnsafeRawBufferPointer($0)) } }
        out.writeLineEnd()
    }

    /// The description of the response, as it is stored.
    func description(with own: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(description.count + own.count)
        var written: Int32 = 0
        forEachOwn(own) { value in
            if value.index == places.count - 1 { return }
            let place = places[value.index]
            bytes += slice(description, written..<place.inDescription.lowerBound)
            encodeNumber(value.prefix + value.bytes.count + value.suffix) { bytes.append($0) }
            bytes += slice(description, place.textStart..<place.textStart + Int32(value.prefix))
            bytes += value.bytes
            written = place.inDescription.upperBound - Int32(value.suffix)
        }
        bytes += slice(description, written..<Int32(description.count))
        return bytes
    }

    /// The values of `ETag` and `Last-Modified`.
    func validators(with own: UnsafeBufferPointer<UInt8>) -> (etag: String?, lastModified: String?) {
        (etag.map { text(of: $0, with: own) }, lastModified.map { text(of: $0, with: own) })
    }

    private func text(of index: Int, with own: UnsafeBufferPointer<UInt8>) -> String {
        var bytes: [UInt8] = []
        forEachPart(of: index, with: own) { bytes += $0 }
        return String(fieldBytes: bytes)
    }

    /// A value that is the response's own, but for what it begins and ends with.
    private struct OwnValue {
        var index: Int
        var prefix: Int
        var suffix: Int
        var bytes: UnsafeBufferPointer<UInt8>
    }

    /// Calls `body` with the own values, in the order of the fields.
    @inline(__always)
    private func forEachOwn(_ own: UnsafeBufferPointer<UInt8>, _ body: (OwnValue) -> Void) {
        var next = 0
        while next < own.count {
            let end = next + 5 + (Int(own[next + 3]) | Int(own[next + 4]) << 8)
            body(
                OwnValue(
                    index: Int(own[next]), prefix: Int(own[next + 1]), suffix: Int(own[next + 2]),
                    bytes: UnsafeBufferPointer(rebasing: own[next + 5..<end])))
            next = end
        }
    }

    /// Calls `body` with the pieces of a field's value.
    @inline(__always)
    private func forEachPart(
        of index: Int, with own: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) {
        let theirs = text(index)
        var isOwn = false
        forEachOwn(own) { value in
            guard value.index == index else { return }
            body(UnsafeBufferPointer(rebasing: theirs.prefix(value.prefix)))
            body(value.bytes)
            body(UnsafeBufferPointer(rebasing: theirs.suffix(value.suffix)))
            isOwn = true
        }
        if !isOwn { body(UnsafeBufferPointer(rebasing: theirs)) }
    }
}

/// The forms in use, by what responses must have in common for them.
enum ResponseForms {
    /// A lock that the thread sanitizer knows.
    private static let known = NIOLockedValueBox<[Int: ResponseForm]>([:])

    /// How many are known at most, and their size in bytes. Those that are forgotten live on in their responses.
    private static let limit = 1_024
    private static let sizeLimit = 16 << 10

    /// The form for a response, what the response has of its own, and whether the form was made for it.
    ///
    /// What was rare may have become usual: once responses have kept 64 times a form's size beside it, the next one
    /// makes a new form of itself. So a bad form costs little, and forms themselves next to nothing.
    static func form(
        for source: ArraySlice<UInt8>, bodySize: Int
    ) throws(DamagedResponse) -> (form: ResponseForm, own: [UInt8], isNew: Bool) {
        let bytes = source.span
        let layout = try DescriptionLayout(of: bytes)
        var hasher = Hasher()
        hasher.combine(layout.status)
        for field in layout.fields { bytes.extracting(field.name).withUnsafeBytes { hasher.combine(bytes: $0) } }
        bytes.extracting(layout.vary).withUnsafeBytes { hasher.combine(bytes: $0) }
        let hash = hasher.finalize()
        if let form = known.withLockedValue({ $0[hash] }), form.fits(bytes, layout),
            form.beside.load(ordering: .relaxed) < 64 * form.size,
            let own = form.ownValues(of: bytes, layout, bodySize: bodySize)
        {
            form.beside.add(own.count, ordering: .relaxed)
            return (form, own, false)
        }
        let form = try ResponseForm(source, layout, bodySize: bodySize)
        if form.isShared && form.size <= sizeLimit {
            known.withLockedValue { known in
                if known.count >= limit, known[hash] == nil { known.removeAll() }
                known[hash] = form
            }
        }
        return (form, [], true)
    }
}

extension ByteBuffer {
    fileprivate mutating func writeBytes(of bytes: Span<UInt8>, at range: Range<Int>) {
        bytes.extracting(range).withUnsafeBytes { _ = writeBytes($0) }
    }
}

extension UnsafeBufferPointer<UInt8> {
    fileprivate func areSameBytes(as other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard count == other.count, let mine = baseAddress, let theirs = other.baseAddress else {
            return isEmpty && other.isEmpty
        }
        return memcmp(mine, theirs, count) == 0
    }
}

extension Span<UInt8> {
    fileprivate func isOneLine(_ range: Range<Int>) -> Bool {
        for index in range
        where self[index] == UInt8(ascii: "\r") || self[index] == UInt8(ascii: "\n") || self[index] == 0 {
            return false
        }
        return true
    }
}
