//! Strongly connected components of small graphs of numbers (Tarjan's algorithm, without
//! recursion: graphs come from the network and may be deep).

/// The component of each of the nodes `0..count`: nodes on a common cycle have the same number.
pub(super) fn components(count: usize, neighbours: &[Vec<u32>]) -> Vec<u32> {
    let mut search = Search {
        found: vec![u32::MAX; count],
        low: vec![0; count],
        on_stack: vec![false; count],
        component: vec![u32::MAX; count],
        stack: Vec::new(),
        next_found: 0,
        next_component: 0,
    };
    for root in 0..count {
        if search.found[root] == u32::MAX {
            search.run(root, neighbours);
        }
    }
    search.component
}

struct Search {
    /// When a node was found; `u32::MAX`: not yet.
    found: Vec<u32>,
    /// The earliest found node that can be reached.
    low: Vec<u32>,
    on_stack: Vec<bool>,
    component: Vec<u32>,
    stack: Vec<usize>,
    next_found: u32,
    next_component: u32,
}

impl Search {
    fn enter(&mut self, node: usize) {
        self.found[node] = self.next_found;
        self.low[node] = self.next_found;
        self.next_found += 1;
        self.on_stack[node] = true;
        self.stack.push(node);
    }

    fn run(&mut self, root: usize, neighbours: &[Vec<u32>]) {
        let mut work = vec![(root, 0_usize)];
        self.enter(root);
        while let Some((node, cursor)) = work.last_mut() {
            let node = *node;
            let list = neighbours.get(node).map_or(&[][..], Vec::as_slice);
            if let Some(next) = list.get(*cursor) {
                *cursor += 1;
                let next = *next as usize;
                if self.found[next] == u32::MAX {
                    self.enter(next);
                    work.push((next, 0));
                } else if self.on_stack[next] {
                    self.low[node] = self.low[node].min(self.found[next]);
                }
                continue;
            }
            work.pop();
            self.leave(node);
            if let Some((parent, _)) = work.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
        }
    }

    /// Where `node` is the first of its component, the component is complete.
    fn leave(&mut self, node: usize) {
        if self.low[node] != self.found[node] {
            return;
        }
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            self.component[member] = self.next_component;
            if member == node {
                break;
            }
        }
        self.next_component += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_cycle_share_a_component() {
        let graph = [vec![1], vec![2], vec![0, 3], vec![4], vec![3], vec![]];
        let found = components(6, &graph);
        assert!(found[0] == found[1] && found[1] == found[2]);
        assert!(found[3] == found[4]);
        assert!(found[0] != found[3] && found[5] != found[3] && found[5] != found[0]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let length = 200_000_u32;
        let graph: Vec<Vec<u32>> = (0..length)
            .map(|node| {
                if node + 1 < length {
                    vec![node + 1]
                } else {
                    vec![0]
                }
            })
            .collect();
        let found = components(length as usize, &graph);
        assert!(found.iter().all(|component| *component == found[0]));
    }
}
