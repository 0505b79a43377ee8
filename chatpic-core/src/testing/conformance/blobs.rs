//! The contract of [`BlobStore`], one case for each clause.

use super::*;

type Blobs = Open<dyn BlobStore>;

fn folder(number: u64) -> Folder {
    sample_share(number).folder
}

pub async fn an_object_is_read_as_it_was_put(open: &Blobs) -> StoreResult<()> {
    let (blobs, others) = (open().await, open().await);
    let large = Bytes::from(vec![7; 3_000_000]);
    for (name, sealed) in [("0-full", large), ("empty", Bytes::new())] {
        assert_eq!(blobs.get(&folder(1), name).await?, None);
        blobs.put(&folder(1), name, sealed.clone()).await?;
        assert_eq!(others.get(&folder(1), name).await?, Some(sealed));
        assert_eq!(blobs.get(&folder(2), name).await?, None);
    }
    Ok(())
}

pub async fn an_object_is_never_changed(open: &Blobs) -> StoreResult<()> {
    let blobs = open().await;
    let first = Bytes::from_static(b"first");
    blobs.put(&folder(1), "0", first.clone()).await?;
    // Whether putting it again is an error is the store's to say.
    for again in [first.clone(), Bytes::from_static(b"second")] {
        drop(blobs.put(&folder(1), "0", again).await);
        assert_eq!(blobs.get(&folder(1), "0").await?.as_ref(), Some(&first));
    }
    Ok(())
}

pub async fn a_folder_is_deleted_with_its_count_and_again_without(open: &Blobs) -> StoreResult<()> {
    let blobs = open().await;
    assert_eq!(blobs.delete_folder(&folder(1)).await?, 0);
    for name in ["0", "1", "2"] {
        blobs.put(&folder(1), name, Bytes::from_static(b"one")).await?;
    }
    blobs.put(&folder(2), "0", Bytes::from_static(b"two")).await?;
    assert_eq!(blobs.delete_folder(&folder(1)).await?, 3);
    assert_eq!(blobs.delete_folder(&folder(1)).await?, 0);
    assert_eq!(blobs.get(&folder(1), "0").await?, None);
    assert_eq!(blobs.get(&folder(2), "0").await?, Some(Bytes::from_static(b"two")));
    Ok(())
}

pub async fn objects_are_counted_by_folder(open: &Blobs) -> StoreResult<()> {
    let blobs = open().await;
    blobs.put(&folder(2), "0", Bytes::from_static(b"two")).await?;
    for (before, name) in (0..).zip(["0", "1", "2"]) {
        assert_eq!(blobs.count(&folder(1)).await?, before);
        blobs.put(&folder(1), name, Bytes::from_static(b"one")).await?;
    }
    assert_eq!(open().await.count(&folder(1)).await?, 3);
    blobs.delete_folder(&folder(1)).await?;
    assert_eq!((blobs.count(&folder(1)).await?, blobs.count(&folder(2)).await?), (0, 1));
    Ok(())
}

pub async fn an_empty_store_has_room(open: &Blobs) -> StoreResult<()> {
    assert!(open().await.has_room(0).await?);
    Ok(())
}

pub async fn every_folder_with_an_object_is_listed(open: &Blobs) -> StoreResult<()> {
    let blobs = open().await;
    let listed = async || blobs.folders().try_collect::<BTreeSet<_>>().await;
    assert_eq!(listed().await?, BTreeSet::new());
    for number in 0..9 {
        for name in ["0", "1"] {
            blobs.put(&folder(number), name, Bytes::from_static(b"sealed")).await?;
        }
    }
    assert_eq!(listed().await?, (0..9).map(folder).collect());
    for number in 0..8 {
        blobs.delete_folder(&folder(number)).await?;
    }
    assert_eq!(listed().await?, BTreeSet::from([folder(8)]));
    blobs.delete_folder(&folder(8)).await?;
    assert_eq!(listed().await?, BTreeSet::new());
    Ok(())
}

pub async fn objects_outlive_their_handle(open: &Blobs) -> StoreResult<()> {
    open().await.put(&folder(1), "0", Bytes::from_static(b"sealed")).await?;
    assert_eq!(open().await.get(&folder(1), "0").await?, Some(Bytes::from_static(b"sealed")));
    Ok(())
}
