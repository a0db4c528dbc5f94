/// The known name that is the fewest edits away, if it is near at all.
package func nearest(to word: String, in known: [String]) -> String? {
    let simple = word.lowercased().filter(\.isLetter)
    let ranked = known.map { (name: $0, edits: edits(simple, $0.filter(\.isLetter))) }
    return ranked.min { $0.edits < $1.edits }.flatMap { $0.edits <= max(2, simple.count / 3) ? $0.name : nil }
}

/// The Levenshtein distance.
private func edits(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (i, character) in left.enumerated() {
        var previous = row[0]
        row[0] = i + 1
        for j in right.indices {
            let cost = character == right[j] ? previous : min(previous, row[j], row[j + 1]) + 1
            previous = row[j + 1]
            row[j + 1] = cost
        }
    }
    return row[right.count]
}
