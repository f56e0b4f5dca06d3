def clean_pairs(pairs, *, src_lang, tgt_lang, dropped=None):
    seen = set()
    out = []
    for p in pairs:
        if p.source and p.target and p.source != p.target and p.source not in seen:
            seen.add(p.source)
            out.append(p)
    return out
